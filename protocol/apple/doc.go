// Package apple turns Apple's MDM protocol into Go values and back, both sides of the wire.
package apple
