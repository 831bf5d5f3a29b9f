package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/chordkv/chord/ring"
)

// Config is everything that can be set about a Process. All processes of a ring should agree on Replicas, WriteQuorum and ReadQuorum.
type Config struct {
	Successors  int // length of the successor list, r in [Zave]; more than the processes that may fail at once
	Replicas    int // N, distinct processes that hold a key
	WriteQuorum int // W of N that must have a write durably before it is acknowledged
	ReadQuorum  int // R of N that are asked on a read

	FingerCandidates int // from how many nodes each finger is the one that answers soonest, s in [ToN] section V-F; more than 1 + Successors cannot be found; up to 1: the first of its interval, and distances play no part
	FingerBase       int // b: there are b-1 fingers for each digit of a distance, a power of two from 2 to ring.MaxFingerBase

	RoutingPeers int // other processes whose nodes lookups know by hearsay, if they host as many as the own one; 0: they go by fingers and lists alone

	ServeMinority bool          // take writes by quorum even when most of the cluster is said to be dead: two rings may then both acknowledge
	ForgetDead    time.Duration // how long a process that is said to be dead counts as a member of the cluster, unless a new one takes its place before

	Grace time.Duration // how long the copies that a process has are not made again when it has gone, because it may come back with them; 0: they are made at once

	TombstoneGrace time.Duration // how long a delete is remembered at least, 0 for ever; who was away for half of that begins anew, without records

	MaxKeyBytes   int
	MaxValueBytes int

	StabilizeInterval  time.Duration // between two rounds of stabilize, per node
	StabilizeQuiet     time.Duration // to which that grows, round by round, while nothing changes; less than StabilizeInterval: it does not
	FixFingersInterval time.Duration // between two steps of fix_fingers, per node, while the fingers change; rarer when they do not
	RepairInterval     time.Duration // between two comparisons of an arc with its replicas when nothing changed
	SweepInterval      time.Duration // between two searches for records that belong elsewhere; four times that while nothing is stored
	RepairArcs         int           // own arcs that are compared with their replicas at the same time
	RepairRate         int           // bytes per second that repair, sweep and leave move; 0: as fast as it goes
	SettleDelay        time.Duration // from a change of a node's arc or replica group to the comparison that follows
	HealInterval       time.Duration // between two lookups of the own place through a remembered peer; up to 16 times that while neighbors stay the same
	RingTimeout        time.Duration // deadline of a call to a peer that never waits for a third one; only who misses this one is suspect
	MinTimeout         time.Duration // how much longer than usual for the peer the answer to a first attempt may take, or four deviations; RingTimeout: there is one attempt
	ReplicaTimeout     time.Duration // deadline of a call that reads or writes records at a replica
	HedgeDelay         time.Duration // how much longer than usual for those that it asked a read waits before it asks another replica too, or three deviations
	SuspectTime        time.Duration // how long a process that did not answer is asked last
	PinTime            time.Duration // how long a process keeps what it has let others compare with, because they may drop theirs
	MaxHops            int           // calls that a lookup makes before it gives up
	MaxAttempts        int           // how often a join, a forwarded operation or a superseded write starts over
	BatchRecords       int           // records in a message of a transfer
	BatchBytes         int           // bytes in a message of a transfer, give or take one record
	MaxClockAhead      time.Duration // versions further ahead of the own clock are refused
}

// DefaultConfig returns the settings of a production node.
func DefaultConfig() Config {
	return Config{
		Successors: 16, Replicas: 3, WriteQuorum: 2, ReadQuorum: 2, FingerCandidates: 16, FingerBase: 2, RoutingPeers: 4096, ForgetDead: time.Hour,
		MaxKeyBytes: 1 << 10, MaxValueBytes: 1 << 20,
		StabilizeInterval: time.Second, StabilizeQuiet: 4 * time.Second, FixFingersInterval: time.Second,
		RepairInterval: time.Minute, RepairArcs: 2, SweepInterval: 4 * time.Second, SettleDelay: 500 * time.Millisecond, HealInterval: 10 * time.Second,
		RingTimeout: time.Second, MinTimeout: 100 * time.Millisecond, ReplicaTimeout: 2 * time.Second,
		HedgeDelay: 10 * time.Millisecond, SuspectTime: 2 * time.Second, PinTime: 5 * time.Second,
		MaxHops: 64, MaxAttempts: 8, BatchRecords: 512, BatchBytes: 256 << 10,
		MaxClockAhead: 500 * time.Millisecond, Grace: 10 * time.Minute,
	}
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Successors < 1 {
		bad("successors: %d, want at least 1", c.Successors)
	}
	if c.Replicas < 1 {
		bad("replicas: %d, want at least 1", c.Replicas)
	}
	if c.Successors < c.Replicas-1 {
		bad("successors: %d, want at least replicas - 1 = %d, or the replicas of a key cannot be found", c.Successors, c.Replicas-1)
	}
	if c.WriteQuorum < 1 || c.WriteQuorum > c.Replicas {
		bad("write-quorum: %d, want 1 to replicas = %d", c.WriteQuorum, c.Replicas)
	}
	if c.ReadQuorum < 1 || c.ReadQuorum > c.Replicas {
		bad("read-quorum: %d, want 1 to replicas = %d", c.ReadQuorum, c.Replicas)
	}
	if c.FingerCandidates < 0 {
		bad("finger-candidates: %d, want at least 0", c.FingerCandidates)
	}
	if b := c.FingerBase; b < 2 || b > ring.MaxFingerBase || b&(b-1) != 0 {
		bad("finger-base: %d, want a power of two from 2 to %d", b, ring.MaxFingerBase)
	}
	if c.RoutingPeers < 0 {
		bad("routing-peers: %d, want at least 0", c.RoutingPeers)
	}
	if c.Grace < 0 {
		bad("grace: %v, want at least 0", c.Grace)
	}
	if c.TombstoneGrace < 0 {
		bad("tombstone-grace: %v, want at least 0", c.TombstoneGrace)
	}
	if c.StabilizeQuiet < 0 {
		bad("stabilize quiet: %v, want at least 0", c.StabilizeQuiet)
	}
	if c.RepairRate < 0 {
		bad("repair-rate: %d, want at least 0", c.RepairRate)
	}
	if c.MaxKeyBytes < 1 {
		bad("max key size: %d bytes, want at least 1", c.MaxKeyBytes)
	}
	if c.MaxValueBytes < 0 {
		bad("max value size: %d bytes, want at least 0", c.MaxValueBytes)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"forget-dead", c.ForgetDead},
		{"stabilize interval", c.StabilizeInterval},
		{"fix-fingers interval", c.FixFingersInterval},
		{"repair interval", c.RepairInterval},
		{"sweep interval", c.SweepInterval},
		{"settle delay", c.SettleDelay},
		{"heal interval", c.HealInterval},
		{"ring timeout", c.RingTimeout},
		{"min timeout", c.MinTimeout},
		{"replica timeout", c.ReplicaTimeout},
		{"hedge delay", c.HedgeDelay},
		{"suspect time", c.SuspectTime},
		{"pin time", c.PinTime},
		{"max clock ahead", c.MaxClockAhead},
	} {
		if d.d <= 0 {
			bad("%s: %v, want more than 0", d.name, d.d)
		}
	}
	for _, n := range []struct {
		name string
		n    int
	}{
		{"repair arcs", c.RepairArcs},
		{"max hops", c.MaxHops},
		{"max attempts", c.MaxAttempts},
		{"batch records", c.BatchRecords},
		{"batch bytes", c.BatchBytes},
	} {
		if n.n < 1 {
			bad("%s: %d, want at least 1", n.name, n.n)
		}
	}
	return errors.Join(errs...)
}
