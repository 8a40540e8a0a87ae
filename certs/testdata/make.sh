#!/bin/sh
# Makes what an encoder other than ours and the library's must have made: CMS by openssl 3.
# Run in this folder; the tests need only the results. Validity is a hundred years.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
k() { openssl genpkey -algorithm "$1" -pkeyopt "$2" -out "$tmp/$3.key" 2>/dev/null; }
leaf() { # name, digest: a client identity of the authority
	printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n' >"$tmp/ext"
	openssl req -new -sha256 -key "$tmp/$1.key" -subj "/CN=$1" -out "$tmp/$1.csr"
	openssl x509 -req -"${2:-sha256}" -in "$tmp/$1.csr" -CA authority.pem -CAkey "$tmp/ca.key" -days 36500 -extfile "$tmp/ext" -out "$tmp/$1.pem" 2>/dev/null
}
k EC ec_paramgen_curve:P-256 ca
openssl req -x509 -new -sha256 -key "$tmp/ca.key" -subj '/CN=openssl test authority' -days 36500 \
	-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out authority.pem
k RSA rsa_keygen_bits:2048 mac; leaf mac
k RSA rsa_keygen_bits:1024 small; leaf small sha1
k EC ec_paramgen_curve:P-256 phone; leaf phone
printf '<plist version="1.0"><dict><key>Status</key><string>Idle</string></dict></plist>' >body.plist
sign() { # out, signer, more arguments
	out=$1; who=$2; shift 2
	openssl cms -sign -binary -in body.plist -signer "$tmp/$who.pem" -inkey "$tmp/$who.key" -outform DER -out "$out" "$@"
}
# As devices sign: BER, SHA-1, without signed attributes (macOS) and with (tvOS). openssl streams only with the
# content inside: 90 bytes at 44 that are cut out again.
for as in macos:-noattr tvos:-binary; do
	sign "$tmp/streamed" mac -md sha1 -stream ${as#*:}
	{ head -c 44 "$tmp/streamed"; tail -c +135 "$tmp/streamed"; } >"${as%:*}.der"
done
sign sha256.der mac -md sha256
sign ecdsa.der phone -md sha256
sign ecdsa-noattr.der phone -md sha256 -noattr
sign md5.der mac -md md5
sign rsa1024.der small -md sha256
sign keyid.der mac -md sha256 -keyid               # signer by subject key identifier
sign nocerts.der mac -md sha256 -nocerts
sign two.der mac -md sha256 -signer "$tmp/phone.pem" -inkey "$tmp/phone.key"
sign machineinfo.der small -md sha1 -nodetach        # an old factory: RSA-1024, SHA-1 in certificate and signature
sign attached.der mac -md sha256 -nodetach -certfile authority.pem
seq 1 3000 >"$tmp/long"
openssl cms -sign -binary -in "$tmp/long" -signer "$tmp/mac.pem" -inkey "$tmp/mac.key" -md sha256 -nodetach -stream \
	-outform DER -out streamed.der                  # content in several octet strings
for cipher in aes128 aes192 aes256 des3 des; do
	openssl cms -encrypt -binary -in body.plist -"$cipher" -provider legacy -provider default -recip "$tmp/mac.pem" -outform DER -out "enveloped-$cipher.der"
done
openssl cms -encrypt -binary -in "$tmp/long" -aes128 -stream -recip "$tmp/mac.pem" -outform DER -out enveloped-streamed.der
cp "$tmp/mac.key" mac.key; cp "$tmp/mac.pem" mac.pem
openssl req -new -sha1 -key "$tmp/mac.key" -subj /CN=sha1 -outform DER -out sha1.csr
openssl req -new -md5 -key "$tmp/mac.key" -subj /CN=md5 -outform DER -out md5.csr
