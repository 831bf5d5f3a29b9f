package main

import (
	"context"
	"fmt"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// limits are what a ring accepts.
type limits struct {
	keyBytes, valueBytes int
}

func defaultLimits() limits {
	cfg := node.DefaultConfig()
	return limits{cfg.MaxKeyBytes, cfg.MaxValueBytes}
}

func limitsOf(h rpc.Hello) limits { return limits{h.MaxKeyBytes, h.MaxValueBytes} }

// check says which limit a pair breaks.
func (l limits) check(p pair) error {
	switch {
	case len(p.key) == 0:
		return fmt.Errorf("%w: the key is empty", node.ErrInvalid)
	case len(p.key) > l.keyBytes:
		return fmt.Errorf("%w: the key has %s bytes, the limit is %s", node.ErrInvalid, cli.GroupDigits(int64(len(p.key))), cli.GroupDigits(int64(l.keyBytes)))
	case len(p.value) > l.valueBytes:
		return fmt.Errorf("%w: the value has %s bytes, the limit is %s", node.ErrInvalid, cli.GroupDigits(int64(len(p.value))), cli.GroupDigits(int64(l.valueBytes)))
	}
	return nil
}

// checkPair refuses a pair before anything of it is sent. What the default limits allow is left to the ring to judge; beyond them
// it may have been configured to take more, so it is asked, and where nobody answers the defaults stand.
func checkPair(ctx context.Context, c client, p pair) error {
	l := defaultLimits()
	if l.check(p) == nil {
		return nil
	}
	if len(p.key) > 0 {
		if h, err := c.Hello(ctx); err == nil {
			l = limitsOf(h)
		}
	}
	return l.check(p)
}
