package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// TestCountersSurviveKills: clients increment counters while one process after the other is killed and started again. In the end each counter is what was acknowledged, and no more than
// that and the increments of which nobody knows.
func TestCountersSurviveKills(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	const processes, clients, counters, kills = 5, 8, 3, 3
	ring := startRing(t, processes)
	waitSettled(t, ring...)
	addrs := make([]string, processes)
	for i, d := range ring {
		addrs[i] = d.listen
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var acked, unknown, refused [counters]atomic.Int64
	var numbers sync.Map // that were acknowledged
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var tasks sync.WaitGroup
	for i := range clients {
		client, err := rpc.NewClient(rpc.DefaultClientConfig(addrs...))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		tasks.Go(func() {
			for n := uint64(1); ctx.Err() == nil; n++ {
				k := r.IntN(counters)
				op := node.Op{Kind: node.OpIncrement, Key: fmt.Append(nil, "counter-", k), Add: 1}
				op.Request = node.RequestID([]byte(fmt.Sprintf("%4d%12d", i, n)))
				result, err := client.Do(context.WithoutCancel(ctx), op) // the last one too is seen to its end
				var failed *rpc.OpError
				switch {
				case err == nil:
					acked[k].Add(1)
					if _, twice := numbers.LoadOrStore([2]int64{int64(k), result.Number}, true); twice {
						t.Errorf("two increments of counter %d were number %d", k, result.Number)
					}
				case errors.As(err, &failed) && failed.Outcome == rpc.NotApplied:
					refused[k].Add(1)
				default:
					unknown[k].Add(1)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	r := rand.New(rand.NewPCG(seed, clients))
	for range kills {
		time.Sleep(time.Second)
		d := ring[r.IntN(processes)]
		d.kill()
		time.Sleep(time.Duration(500+r.IntN(1500)) * time.Millisecond)
		d.start()
		waitReady(t, d)
		waitSettled(t, ring...)
	}
	time.Sleep(time.Second)
	stop()
	tasks.Wait()
	client, err := rpc.NewClient(rpc.DefaultClientConfig(addrs...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for k := range counters {
		result, err := client.Get(t.Context(), fmt.Append(nil, "counter-", k), node.LevelQuorum)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(string(result.Value), 10, 64)
		least, most := acked[k].Load(), acked[k].Load()+unknown[k].Load()
		t.Logf("counter %d is %d: %d increments acknowledged, %d unknown, %d refused", k, n, least, unknown[k].Load(), refused[k].Load())
		if err != nil || n < least || n > most || least == 0 {
			t.Errorf("counter %d is %q, want %d to %d", k, result.Value, least, most)
		}
	}
}
