package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestZoneIsLost kills both processes of one of three zones at once: every key still has two replicas, so that all of it is read, at a quorum, right
// afterwards, and then each has three again, in both zones that are left.
func TestZoneIsLost(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	want := packageList(9, 3000)
	zones := []string{"east", "west", "north"}
	zoneOf := map[string]string{} // by address
	var ring []*chordd
	for i := range 2 * len(zones) {
		d := newChordd(t, fmt.Sprintf("process %d", i), "--vnodes", "4", "--grace", "2s", "--zone", zones[i%len(zones)])
		zoneOf[d.listen] = zones[i%len(zones)]
		ring = append(ring, d)
	}
	startAll(t, ring)
	importAll(t, ring[0], want)
	spread := func(processes []*chordd, most int) func() error {
		return func() error {
			c, err := take(t.Context(), processes)
			if err != nil {
				return err
			}
			for key := range want {
				in := map[string]int{}
				for addr := range c.held[key] {
					in[zoneOf[addr]]++
				}
				for zone, n := range in {
					if len(c.held[key]) != replicas || n > most {
						return fmt.Errorf("key %q: %d replicas, %d of them in zone %s", key, len(c.held[key]), n, zone)
					}
				}
			}
			return nil
		}
	}
	eventually(t, 30*time.Second, "one replica in each zone", spread(ring, 1))

	var left []*chordd
	for i, d := range ring {
		if i%len(zones) == 2 {
			d.kill()
		} else {
			left = append(left, d)
		}
	}
	checkExport(t, left[0], want)
	eventually(t, 30*time.Second, "three replicas in two zones", spread(left, 2))
}
