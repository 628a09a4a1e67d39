# SPDX-License-Identifier: BSD-3-Clause
# scripts/local.mk - the two commands of the README, and what they call

EXTRA_DIST += \
	.ci/run \
	scripts/layer-check \
	scripts/packages.sh \
	scripts/quickstart \
	scripts/reliability \
	scripts/style-check \
	scripts/test
