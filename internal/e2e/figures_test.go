package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// figures are the metrics of a process that have no labels, by name.
type figures map[string]float64

var figure = regexp.MustCompile(`(?m)^([a-z_]+) ([0-9.e+-]+)$`)

func (d *chordd) figures() (figures, error) {
	text, err := d.get("/metrics")
	f := make(figures)
	for _, m := range figure.FindAllStringSubmatch(text, -1) {
		n, parseErr := strconv.ParseFloat(m[2], 64)
		if parseErr != nil {
			return nil, parseErr
		}
		f[m[1]] = n
	}
	return f, err
}

// figuresOf returns the metrics of the processes that run.
func figuresOf(t *testing.T, processes []*chordd) map[*chordd]figures {
	t.Helper()
	all := make(map[*chordd]figures)
	for _, d := range processes {
		if !d.running() {
			continue
		}
		f, err := d.figures()
		if err != nil {
			t.Fatal(err)
		}
		all[d] = f
	}
	return all
}

// waitRecords waits until the processes have so many records in all, as they count them.
func waitRecords(t *testing.T, processes []*chordd, want int) {
	t.Helper()
	eventually(t, 2*time.Minute, fmt.Sprint(want, " records in all"), func() error {
		got, err := recordsOf(processes)
		if err == nil && got != want {
			err = fmt.Errorf("%d records in all", got)
		}
		return err
	})
}
