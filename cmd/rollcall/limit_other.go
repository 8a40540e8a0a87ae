//go:build !unix

package main

func takeLimits() {}
