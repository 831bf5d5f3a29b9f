// Package ring does what the ring must not.
package ring
