# SPDX-License-Identifier: BSD-3-Clause
# docs/local.mk - what is read, not run

dist_doc_DATA += \
	docs/ARCHITECTURE.md \
	docs/CONTRACT.md \
	docs/FORMAT.md \
	docs/HACKING.md \
	docs/RELIABILITY.md
