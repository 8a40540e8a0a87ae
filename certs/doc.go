// Package certs is the authority for device identities and the one home of CMS.
package certs
