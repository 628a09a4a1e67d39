#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# tls.sh - serve with TLS: pre-shared keys and X.509, on a Unix socket and TCP; who has no key is refused
. "$top_srcdir/tests/cli/functions.sh"

need_plugin
need nbdinfo nbdcopy psktool certtool
nbdkit --dump-config | grep -q '^tls=yes' || skip "nbdkit without TLS"
new_pool
cowbd create a 4M

# pre-shared keys
psktool -u alice -p keys.psk >/dev/null 2>&1
psktool -u alice -p other.psk >/dev/null 2>&1
cowbd serve --daemon --socket "$TEST_DIR/tls.sock" --tls-psk "$TEST_DIR/keys.psk" >uri
with_key() {
	echo "nbds+unix://alice@/a?socket=$TEST_DIR/tls.sock&tls-psk-file=$TEST_DIR/$1"
}
nbdinfo "$(with_key keys.psk)" >info
grep -q 'with TLS' info || fail "not with TLS: $(cat info)"
head -c 4194304 /dev/urandom >image
nbdcopy image "$(with_key keys.psk)"
nbdcopy "$(with_key keys.psk)" copy
cmp image copy
expect 1 nbdinfo "$(with_key other.psk)"
expect 1 nbdinfo "nbd+unix:///a?socket=$TEST_DIR/tls.sock"
cowbd snapshot a@s >/dev/null
expect 0 "$COWBD" stop

# X.509, with client certificates checked
mkdir pki
certtool --generate-privkey --outfile pki/ca-key.pem >/dev/null 2>&1
printf 'cn = test\nca\ncert_signing_key\n' >ca.info
certtool --generate-self-signed --load-privkey pki/ca-key.pem --template ca.info --outfile pki/ca-cert.pem >/dev/null 2>&1
make_certificate() {
	certtool --generate-privkey --outfile "pki/$1-key.pem" >/dev/null 2>&1
	printf 'cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_%s\nencryption_key\nsigning_key\n' "$1" >info
	certtool --generate-certificate --load-ca-certificate pki/ca-cert.pem --load-ca-privkey pki/ca-key.pem \
		--load-privkey "pki/$1-key.pem" --template info --outfile "pki/$1-cert.pem" >/dev/null 2>&1
}
make_certificate server
make_certificate client
port=$((20000 + $$ % 20000))
cowbd serve --daemon --tcp "127.0.0.1:$port" --tls-certificates "$TEST_DIR/pki" -- --tls-verify-peer >uri
same "$(cat uri)" "nbds://127.0.0.1:$port/"
secure="nbds://localhost:$port/a?tls-certificates=$TEST_DIR/pki"
nbdcopy "$secure" copy2
cmp image copy2
mkdir nobody
cp pki/ca-cert.pem nobody/
expect 1 nbdinfo "nbds://localhost:$port/a?tls-certificates=$TEST_DIR/nobody"
expect 1 nbdinfo "nbd://localhost:$port/a"
expect 0 "$COWBD" stop
expect 1 "$COWBD" serve --tls-psk "$TEST_DIR/nothere"
says nothere
