package rpc

import (
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
)

// ClientConfig is everything that can be set about a Client.
type ClientConfig struct {
	// Servers are listen addresses (host:port) of processes of the ring. One that works is enough: the client learns the others.
	Servers []string

	Timeout        time.Duration // of an operation with all its attempts, and of each call of a walk or a scan
	AttemptTimeout time.Duration // of an attempt that can be repeated, so that one process that hangs does not use up Timeout

	BackoffMin time.Duration // upper bound of the first wait between two attempts; it doubles with every further one
	BackoffMax time.Duration // upper bound of every wait

	// The retry budget keeps a client from multiplying the load of a ring in trouble: every operation earns RetryRatio of a retry,
	// every second RetryFloor of them, and at most RetryBurst can be saved up. When it is used up, operations wait for it.
	RetryRatio float64
	RetryFloor float64
	RetryBurst int

	MaxArcs    int // arcs whose owners the client remembers
	MaxServers int // processes that the client remembers besides Servers
	MaxHops    int // calls that a lookup makes before it gives up

	// DialOptions are added to the client's own, which speak plaintext; among contradicting options the last one counts.
	DialOptions []grpc.DialOption
}

// DefaultClientConfig returns the settings of a client that enters the ring at the given servers.
func DefaultClientConfig(servers ...string) ClientConfig {
	return ClientConfig{
		Servers: servers,
		Timeout: 5 * time.Second, AttemptTimeout: 2 * time.Second,
		BackoffMin: 10 * time.Millisecond, BackoffMax: 500 * time.Millisecond,
		RetryRatio: 0.1, RetryFloor: 20, RetryBurst: 1000,
		MaxArcs: 16384, MaxServers: 1024, MaxHops: 64,
	}
}

// Validate reports every problem at once.
func (c ClientConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Servers) == 0 {
		bad("servers: none, want the host:port of at least one process of the ring")
	}
	for _, addr := range c.Servers {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
			bad("server %q: want host:port", addr)
		}
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"timeout", c.Timeout}, {"attempt timeout", c.AttemptTimeout}, {"back-off min", c.BackoffMin}, {"back-off max", c.BackoffMax},
	} {
		if d.d <= 0 {
			bad("%s: %v, want more than 0", d.name, d.d)
		}
	}
	if c.AttemptTimeout > c.Timeout {
		bad("attempt timeout: %v, want at most timeout = %v", c.AttemptTimeout, c.Timeout)
	}
	if c.BackoffMin > c.BackoffMax {
		bad("back-off min: %v, want at most back-off max = %v", c.BackoffMin, c.BackoffMax)
	}
	if !(c.RetryRatio >= 0 && c.RetryRatio <= 1) {
		bad("retry ratio: %v, want 0 to 1", c.RetryRatio)
	}
	if !(c.RetryFloor >= 0 && c.RetryFloor <= maxRetryFloor) {
		bad("retry floor: %v a second, want 0 to %d", c.RetryFloor, maxRetryFloor)
	}
	if c.RetryBurst < 0 {
		bad("retry burst: %d, want at least 0", c.RetryBurst)
	}
	for _, n := range []struct {
		name string
		n    int
	}{
		{"max arcs", c.MaxArcs}, {"max servers", c.MaxServers}, {"max hops", c.MaxHops},
	} {
		if n.n < 1 {
			bad("%s: %d, want at least 1", n.name, n.n)
		}
	}
	return errors.Join(errs...)
}

// maxRetryFloor keeps the arithmetic of the budget far from overflow.
const maxRetryFloor = 1_000_000
