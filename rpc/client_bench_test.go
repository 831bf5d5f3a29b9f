package rpc_test

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/rpc"
)

// echo answers every operation at once with its own value: what remains is the cost of the client and the wire.
type echo struct {
	chordv1.UnimplementedKVServiceServer
}

func (echo) Batch(stream grpc.BidiStreamingServer[chordv1.OpBatch, chordv1.OpBatchReply]) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		replies := make([]*chordv1.OpReply, len(batch.Calls))
		for i, call := range batch.Calls {
			replies[i] = &chordv1.OpReply{Seq: call.Seq, Reply: &chordv1.OpReply_Put{Put: &chordv1.PutResponse{Existed: true, Acks: 2}}}
		}
		if err := stream.Send(&chordv1.OpBatchReply{Replies: replies}); err != nil {
			return err
		}
	}
}

// BenchmarkClientPut is the throughput of puts of 100 bytes to one process that only echoes.
func BenchmarkClientPut(b *testing.B) {
	for _, goroutines := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			r := newFakeRing(b, 1)
			server := grpc.NewServer()
			chordv1.RegisterKVServiceServer(server, echo{})
			chordv1.RegisterRingServiceServer(server, r.all()[0])
			go func() { _ = server.Serve(lis) }()
			b.Cleanup(server.Stop)
			c, err := rpc.NewClient(rpc.DefaultClientConfig(lis.Addr().String()))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = c.Close() })
			greet(b, c)
			b.ReportAllocs()
			b.ResetTimer()
			var tasks sync.WaitGroup
			for g := range goroutines {
				n := b.N / goroutines
				if g < b.N%goroutines {
					n++
				}
				tasks.Go(func() {
					k, v := fakeKey(g), make([]byte, 100)
					for range n {
						if _, err := c.Put(b.Context(), k, v, node.LevelQuorum); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			tasks.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}
