package sim

import (
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/ring"
)

// Host is one simulated machine: an address, a clock, a disk, and at most one process at a time.
type Host struct {
	w       *World
	process *node.Process // nil unless state is running
	tasks   *task         // of the process, linked
	mem     *store.Memory // what the process stored; nil if it never did
	traits  *traits       // what makes the host different from others; nil if nothing does
	addr    string
	rand    Rand
	id      [16]byte // of the process

	number      int32
	incarnation uint32 // how often a process was started
	generation  uint32 // how often Replace gave it another identity
	state       machineState
	paused      bool
}

type machineState uint8

const (
	exited  machineState = iota // the machine is up and refuses calls
	running                     // a process runs, or is paused
	down                        // nothing answers
)

// traits is what few hosts have, or none unless the options say so.
type traits struct {
	offset time.Duration // of the clock at the time since
	since  time.Duration
	drift  float64

	slow      float64       // what latencies are multiplied with
	slowDisk  float64       // what Options.SyncLatency is multiplied with
	bandwidth int           // bytes per second; 0: unlimited, -1: as in the options
	lineFree  time.Duration // when everything sent so far has left the host

	held    []event      // while the process is paused
	visits  []*visit     // of the harness
	seeds   []string     // addresses given to the last Join
	known   []string     // addresses that the disk remembers
	tail    []undo       // what a crash takes back
	wasPart bool         // the process was a member of a ring before
	contact node.Contact // that the disk remembers
	clock   time.Time    // up to which it says that versions may have been given
	emptied int          // how often a process began anew because it had been away for too long
}

// ErrEnded says that the process that a task belonged to was killed, has crashed, or left before the task was done.
var ErrEnded = errors.New("sim: the process has ended")

// addrOf returns the address of the host with a number.
func addrOf(number int) string { return "n" + strconv.Itoa(number) }

// numberOf is the inverse of addrOf. A call costs nothing that a map would.
func numberOf(addr string) (number int32, ok bool) {
	if len(addr) < 2 || len(addr) > 10 || addr[0] != 'n' {
		return 0, false
	}
	for i := 1; i < len(addr); i++ {
		digit := addr[i] - '0'
		if digit > 9 {
			return 0, false
		}
		number = 10*number + int32(digit)
	}
	return number, true
}

// init makes a host of zeroed memory.
func (h *Host) init(w *World, number int, addr string) {
	h.w, h.number, h.addr = w, int32(number), addr
	h.rand = stream(w.options.Seed, "node", number)
	h.draw()
}

// draw gives the host an identity.
func (h *Host) draw() {
	r := stream(h.w.options.Seed, "identity", int(h.number)|int(h.generation)<<32)
	binary.BigEndian.PutUint64(h.id[:8], r.Uint64())
	binary.BigEndian.PutUint64(h.id[8:], r.Uint64())
}

func (h *Host) trait() *traits {
	if h.traits == nil {
		h.traits = &traits{slow: 1, slowDisk: 1, bandwidth: -1}
	}
	return h.traits
}

// Number returns the host's number: 0 for the first of its world, then 1.
func (h *Host) Number() int { return int(h.number) }

// Addr returns the address of the host's process: "n" and the number.
func (h *Host) Addr() string { return h.addr }

// Identity returns who the host's process is, or was when it ran last.
func (h *Host) Identity() node.Identity {
	id := node.Identity{Process: h.id, VNodes: h.w.options.VNodes, Incarnation: uint64(h.incarnation)}
	if zones := h.w.options.Zones; zones > 0 {
		id.Zone = ring.Zone(1 + int(h.number)%zones)
	}
	return id
}

// Process returns the process that runs on the host, nil if none does. Its methods that wait for other processes (Do, Lookup, Join, Leave) may be
// called only inside Go or Call.
func (h *Host) Process() *node.Process { return h.process }

// Running reports whether a process runs on the host, paused or not.
func (h *Host) Running() bool { return h.state == running }

// Ready reports whether the host's process runs and is a member of a ring.
func (h *Host) Ready() bool { return h.process != nil && h.process.Ready() }

// Store returns the store of the host as the process sees it, to look at: writing to it is for the process.
func (h *Host) Store() node.Store { return disk{h} }

// Now returns what the host's clock shows.
func (h *Host) Now() time.Time {
	now := h.w.now
	if t := h.traits; t != nil {
		now += t.offset + time.Duration(t.drift*float64(h.w.now-t.since))
	}
	return epoch.Add(now)
}

// truly returns how long d by the host's clock is.
func (h *Host) truly(d time.Duration) time.Duration {
	if h.traits == nil || h.traits.drift == 0 {
		return d
	}
	return time.Duration(float64(d) / (1 + h.traits.drift))
}

// SetClock makes the host's clock show, from now on, the true time plus offset, and run fast by drift: 0.01 gains a second in a hundred. Timers run by
// it too, those that are set afterwards. The drift must be more than -1.
func (h *Host) SetClock(offset time.Duration, drift float64) {
	t := h.trait()
	t.offset, t.since, t.drift = offset, h.w.now, drift
}

// SetSlow makes every message from and to the host take factor times as long, at least 1; 1 is normal.
func (h *Host) SetSlow(factor float64) { h.trait().slow = factor }

func (h *Host) slowness() float64 {
	if h.traits == nil {
		return 1
	}
	return h.traits.slow
}

// SetSlowDisk makes every synced write of the host take factor times as long, at least 1; 1 is normal.
func (h *Host) SetSlowDisk(factor float64) { h.trait().slowDisk = factor }

// syncLatency returns how long a synced write takes now.
func (h *Host) syncLatency() time.Duration {
	if h.traits == nil || h.traits.slowDisk == 1 {
		return h.w.options.SyncLatency
	}
	return time.Duration(float64(h.w.options.SyncLatency) * h.traits.slowDisk)
}

// SetBandwidth sets how many bytes per second the host can send: messages queue up. 0: no limit.
func (h *Host) SetBandwidth(bytesPerSecond int) { h.trait().bandwidth = bytesPerSecond }

// sends returns when a message that is sent now has left the host.
func (h *Host) sends(size int) time.Duration {
	if h.traits == nil && h.w.options.Bandwidth == 0 {
		return h.w.now
	}
	t := h.trait()
	bandwidth := t.bandwidth
	if bandwidth < 0 {
		bandwidth = h.w.options.Bandwidth
	}
	if bandwidth == 0 {
		return h.w.now
	}
	t.lineFree = max(t.lineFree, h.w.now) + time.Duration(float64(size)/float64(bandwidth)*float64(time.Second))
	return t.lineFree
}
