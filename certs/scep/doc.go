// Package scep speaks SCEP (RFC 8894), both sides.
package scep
