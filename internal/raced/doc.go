// Package raced tells tests whether the race detector looks on. It makes a program some ten times as slow, and looks at goroutines that meet: tests that compare
// figures, or go through many cases one after the other, show it nothing in the time that they take, and take fewer or none.
package raced
