package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
	"github.com/chordkv/chord/rpc/gossip"
)

// Config is everything that can be set about a chordd, by flag, environment or file alike (flags.go has the names).
type Config struct {
	Listen    string   // HOST:PORT for nodes and clients; port 0 takes any that is free
	Advertise string   // HOST:PORT under which the others reach it; empty: the listen address
	Join      []string // HOST:PORT of members, or sources of those (source.go)
	Bootstrap int      // processes that a new ring waits for; 0: does not bootstrap with others

	Gossip           string // HOST:PORT; empty: the listen address with the next port; "off": none
	GossipAdvertise  string // HOST:PORT under which the others reach it; empty: derived from Advertise and Gossip
	GossipPace       time.Duration
	RoutingPeers     int
	FingerBase       int
	FingerCandidates int
	Zone             string
	Minority         string        // serve or refuse
	ForgetDead       time.Duration // how long a dead process counts as a member
	Grace            time.Duration // how long copies are not made again when a process has gone
	TombstoneGrace   time.Duration // how long a delete is remembered at least

	Data  string // directory
	Store string // pebble or memory
	Sync  string // always, interval or never

	Replicas      int
	WriteQuorum   int
	ReadQuorum    int
	Successors    int
	RepairEvery   time.Duration // between two comparisons of an arc with its replicas
	RepairRate    int           // bytes per second; 0: as fast as it goes
	ScrubEvery    time.Duration // 0: never
	VNodes        int
	MaxKeyBytes   int
	MaxValueBytes int

	Admin       string // HOST:PORT for operators; empty or "off": none
	Insecure    bool
	LeaveOnStop bool
	StopTimeout time.Duration

	LogLevel  string
	LogFormat string // auto, json or console

	Dev      bool
	DevNodes int
}

const (
	storePebble = "pebble"
	storeMemory = "memory"

	minorityRefuse = "refuse"
	minorityServe  = "serve"

	defaultPort = 7400
	maxVNodes   = 1024
	off         = "off" // in place of an address

	// gossipPortOffset is from a process's listen port to its gossip port.
	gossipPortOffset = 1
	// minGossipPace and maxGossipPace bound Config.GossipPace: more often costs more than the rest of an idle process, and a dead one that is known after minutes is no news.
	minGossipPace = 100 * time.Millisecond
	maxGossipPace = time.Minute
	// devPortStep lies between two processes of --dev, so that the admin port of one stays clear of the next.
	devPortStep = 10
	// devAdminOffset is from a process's listen port to its admin port in --dev, as in the defaults.
	devAdminOffset = 2
)

// DefaultConfig returns the settings of a chordd that is told nothing.
func DefaultConfig() Config {
	n := node.DefaultConfig()
	return Config{
		Listen: fmt.Sprintf("127.0.0.1:%d", defaultPort), Data: "./chord-data", Store: storePebble, Sync: "always",
		Replicas: n.Replicas, WriteQuorum: n.WriteQuorum, ReadQuorum: n.ReadQuorum, Successors: n.Successors, VNodes: 8, GossipPace: gossip.DefaultPace, RoutingPeers: n.RoutingPeers,
		FingerBase: n.FingerBase, FingerCandidates: n.FingerCandidates,
		Minority: minorityRefuse, ForgetDead: n.ForgetDead, Grace: n.Grace, TombstoneGrace: n.TombstoneGrace,
		MaxKeyBytes: n.MaxKeyBytes, MaxValueBytes: n.MaxValueBytes,
		RepairEvery: n.RepairInterval, RepairRate: n.RepairRate, ScrubEvery: store.DefaultPebbleOptions().ScrubInterval,
		Admin: "127.0.0.1:7402", StopTimeout: 30 * time.Second,
		LogLevel: "info", LogFormat: "auto", DevNodes: 5,
	}
}

// nodeConfig returns what the protocol wants to know.
func (c Config) nodeConfig() node.Config {
	n := node.DefaultConfig()
	n.Replicas, n.WriteQuorum, n.ReadQuorum, n.Successors = c.Replicas, c.WriteQuorum, c.ReadQuorum, c.Successors
	n.MaxKeyBytes, n.MaxValueBytes, n.RoutingPeers = c.MaxKeyBytes, c.MaxValueBytes, c.RoutingPeers
	n.RepairInterval, n.RepairRate = c.RepairEvery, c.RepairRate
	n.FingerBase, n.FingerCandidates = c.FingerBase, c.FingerCandidates
	n.ServeMinority, n.ForgetDead, n.Grace, n.TombstoneGrace = c.Minority == minorityServe, c.ForgetDead, c.Grace, c.TombstoneGrace
	return n
}

// hasAdmin reports whether there is to be an admin listener.
func (c Config) hasAdmin() bool { return c.Admin != "" && c.Admin != off }

// Validate reports every problem at once, each beginning with the name of the setting.
func (c Config) Validate() error {
	errs := []error{c.nodeConfig().Validate()}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.VNodes < 1 || c.VNodes > maxVNodes {
		bad("vnodes: %d, want 1 to %d", c.VNodes, maxVNodes)
	}
	if c.StopTimeout <= 0 {
		bad("stop-timeout: %v, want more than 0, for example 30s", c.StopTimeout)
	}
	if c.ScrubEvery < 0 {
		bad("scrub-interval: %v, want at least 0", c.ScrubEvery)
	}
	if c.Store == storePebble && c.Data == "" {
		bad("data: empty, want a directory for --store pebble")
	}
	errs = append(errs, c.validateAddresses(), c.validateGossip(), c.validateStart())
	if c.Dev {
		errs = append(errs, c.validateDev())
	}
	return errors.Join(errs...)
}

// validateAddresses checks what is listened on and told to others.
func (c Config) validateAddresses() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	listenHost, _, err := splitAddr(c.Listen)
	switch {
	case err != nil:
		bad("listen: %w", err)
	case !isLoopback(listenHost) && !c.Insecure:
		bad("listen: %s can be reached from other machines, and there is no encryption or authentication yet: "+
			"anyone who reaches it can read and change everything; listen on 127.0.0.1, or add --insecure if the network is trusted", c.Listen)
	}
	if c.Advertise == "" {
		if err == nil && isUnspecified(listenHost) {
			bad("listen: %s means every address of this machine, so the others cannot know which to use; add --advertise HOST:PORT", c.Listen)
		}
	} else if host, port, err := splitAddr(c.Advertise); err != nil {
		bad("advertise: %w", err)
	} else if isUnspecified(host) || port == 0 {
		bad("advertise: %s is not an address that others can reach; give a host and a port", c.Advertise)
	}
	if c.hasAdmin() {
		if host, _, err := splitAddr(c.Admin); err != nil {
			bad("admin: %w; \"off\" disables it", err)
		} else if !isLoopback(host) && !c.Insecure {
			bad("admin: %s can be reached from other machines, and there is no authentication yet: "+
				"anyone who reaches it can make this process leave; use 127.0.0.1 or off, or add --insecure if the network is trusted", c.Admin)
		}
		if _, port, err := splitAddr(c.Admin); err == nil && port != 0 && c.Admin == c.Listen {
			bad("admin: %s is the listen address too, want another port", c.Admin)
		}
	}
	return errors.Join(errs...)
}

// validateGossip checks where the process gossips, and what it says there.
func (c Config) validateGossip() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Zone) > gossip.MaxZoneBytes {
		bad("zone: %d bytes, want at most %d", len(c.Zone), gossip.MaxZoneBytes)
	}
	if c.GossipPace < minGossipPace || c.GossipPace > maxGossipPace {
		bad("gossip-pace: %v, want %v to %v", c.GossipPace, minGossipPace, maxGossipPace)
	}
	if c.Gossip == off {
		return errors.Join(errs...)
	}
	addr := c.gossipAddr()
	host, port, err := splitAddr(addr)
	switch {
	case err != nil && c.Gossip != "":
		bad("gossip: %w; \"off\" disables it", err)
	case err != nil:
		if _, _, err := splitAddr(c.Listen); err == nil { // else that is what is wrong
			bad("gossip: there is no port after %s; choose another with --gossip", c.Listen)
		}
	case c.Gossip != "" && !isLoopback(host) && !c.Insecure:
		bad("gossip: %s can be reached from other machines, and there is no encryption or authentication yet: "+
			"use 127.0.0.1 or off, or add --insecure if the network is trusted", addr)
	case port != 0 && (addr == c.Listen || addr == c.Admin):
		bad("gossip: %s is the listen or admin address too; choose another with --gossip", addr)
	case c.Gossip != "" && isUnspecified(host) && c.Advertise == "" && c.GossipAdvertise == "":
		bad("gossip: %s means every address of this machine, so the others cannot know which to use; add --gossip-advertise HOST:PORT", addr)
	}
	if c.GossipAdvertise != "" {
		if host, port, err := splitAddr(c.GossipAdvertise); err != nil {
			bad("gossip-advertise: %w", err)
		} else if isUnspecified(host) || port == 0 {
			bad("gossip-advertise: %s is not an address that others can reach; give a host and a port", c.GossipAdvertise)
		}
	}
	return errors.Join(errs...)
}

// validateStart checks how the process is to become a member.
func (c Config) validateStart() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	own := c.Listen
	if c.Advertise != "" {
		own = c.Advertise
	}
	for _, seed := range c.Join {
		if _, err := parseSource(seed); err != nil {
			bad("join: %w", err)
		}
	}
	others := slices.ContainsFunc(c.Join, func(seed string) bool { return seed != own })
	switch {
	case c.Bootstrap < 0:
		bad("bootstrap-expect: %d, want 0 (do not wait for others) or more", c.Bootstrap)
	case c.Bootstrap > 1 && !others:
		bad("bootstrap-expect: %d, but no --join with the address of another of these processes", c.Bootstrap)
	case c.Bootstrap == 0 && len(c.Join) > 0 && !others:
		bad("join: %s is the own address; name another process, or leave --join out to start a ring", own)
	}
	return errors.Join(errs...)
}

// validateDev checks the ring of --dev.
func (c Config) validateDev() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if least := max(c.WriteQuorum, c.ReadQuorum); c.DevNodes < least {
		bad("dev-nodes: %d, want at least %d, the quorum; or add --write-quorum %d --read-quorum %d",
			c.DevNodes, least, max(c.DevNodes, 1), max(c.DevNodes, 1))
	}
	for _, a := range []struct{ name, addr string }{{"listen", c.Listen}, {"gossip", c.Gossip}, {"admin", c.Admin}} {
		if a.name == "admin" && !c.hasAdmin() {
			continue
		}
		if _, port, err := splitAddr(a.addr); err == nil && port+(c.DevNodes-1)*devPortStep > 65535 {
			bad("dev-nodes: %d processes from %s on, %d ports apart, need ports over 65535", c.DevNodes, a.addr, devPortStep)
		}
	}
	return errors.Join(errs...)
}

// forDev returns the configuration of the i-th process of --dev.
func (c Config) forDev(i int) Config {
	c.Listen = shiftPort(c.Listen, i*devPortStep)
	c.Gossip = shiftPort(c.Gossip, i*devPortStep)
	if c.hasAdmin() {
		c.Admin = shiftPort(c.Admin, i*devPortStep)
	}
	return c
}

// splitAddr splits HOST:PORT; the host may be empty, the port must be a number.
func splitAddr(addr string) (host string, port int, err error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q, want HOST:PORT, for example 127.0.0.1:7400", addr)
	}
	n, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q, want a port from 0 to 65535 after the last colon", addr)
	}
	return host, int(n), nil
}

// shiftPort adds to the port of a valid address; port 0, any that is free, stays.
func shiftPort(addr string, by int) string {
	host, port, err := splitAddr(addr)
	if err != nil || port == 0 {
		return addr
	}
	return net.JoinHostPort(host, strconv.Itoa(port+by))
}

// isLoopback reports whether only this machine can reach the host. A name other than localhost may resolve to anything.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// isUnspecified reports whether the host stands for all addresses of the machine.
func isUnspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}
