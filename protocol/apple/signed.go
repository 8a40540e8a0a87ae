package apple

import (
	"encoding/base64"
	"strings"
)

// headerSignature stands in a signed header of ours between its words and the signature of them.
const headerSignature = ", sig=:"

// signedValue returns the value of a signed header: its words and the signature of them, a dictionary of RFC 9651.
func signedValue(words string, signature []byte) string {
	return words + headerSignature + base64.StdEncoding.EncodeToString(signature) + ":"
}

// cutSigned reads what [signedValue] writes, of at most so many bytes, and does not verify it. Wrong is what it cannot read; empty: nothing.
func cutSigned(value string, most int) (words string, signature []byte, wrong string) {
	if len(value) > most {
		return "", nil, "too long"
	}
	words, sig, _ := strings.Cut(value, headerSignature)
	sig, ok := strings.CutSuffix(sig, ":")
	if !ok {
		return "", nil, "no signature"
	}
	signature, err := oneForm(sig)
	if err != nil {
		return "", nil, "signature"
	}
	return words, signature, ""
}

// oneForm decodes base64 of one form: without the line ends that a decoder passes over (RFC 4648, section 3.1).
func oneForm(text string) ([]byte, error) {
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		return nil, base64.CorruptInputError(i)
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}
