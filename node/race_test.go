//go:build race

package node_test

// raceDetector slows a bubble down some twentyfold, so that the largest rings get smaller.
const raceDetector = true
