// Package renewal decides when certificates are renewed and records end: identities ([DueAt]), push certificates
// ([CheckUpload], [Warning]) and the clean-up of records ([RemovedAt]). Pure: no I/O, clock, goroutines or X.509;
// package certs reads certificates.
package renewal
