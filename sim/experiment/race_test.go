//go:build race

package experiment_test

func init() { raced = true }
