package node

import (
	"context"
	"crypto/rand" // want "crypto/rand is banned in node, use Runtime.Uint64 (rule 2)"
	dice "math/rand/v2"
	"net/netip" // want "net/netip is banned in node, use Peers (rule 2)"
	"os"        // want "os is banned in node, use Store (rule 2)"
	"time"
)

var now = time.Now // want "time.Now is banned in node, use Runtime.Now (rule 2)"

func chance(ctx context.Context, seed *dice.PCG) (uint64, netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // want "context.WithTimeout is banned in node, use Runtime.WithTimeout (rule 2)"
	defer cancel()
	_, _ = rand.Read(nil)
	_ = os.Getpid()
	time.Sleep(time.Second)                                      // want "time.Sleep is banned in node, use Runtime.Sleep (rule 2)"
	return dice.New(seed).Uint64() + dice.Uint64(), netip.Addr{} // want "math/rand/v2.Uint64 is banned in node, use Runtime.Uint64 (rule 2)"
}
