// Package issuer makes and verifies the tokens of the admin API: long random text behind a recognisable prefix,
// kept only as a hash.
//
// Start with [New] and [Verify]. The package keeps nothing; tokens are part of the store's catalogue.
package issuer
