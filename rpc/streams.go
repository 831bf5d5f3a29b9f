package rpc

import (
	"context"

	"google.golang.org/grpc"

	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

type (
	kvGatherer      = gatherer[opCall, *chordv1.OpReply]
	replicaGatherer = gatherer[replicaCall, *chordv1.ReplicaReply]
)

type opCall struct{ *chordv1.OpCall }

func (c opCall) setSeq(seq uint64) { c.Seq = seq }

type replicaCall struct{ *chordv1.ReplicaCall }

func (c replicaCall) setSeq(seq uint64) { c.Seq = seq }

// newKVGatherer gathers the client operations that go to one process.
func newKVGatherer(addr string, conn grpc.ClientConnInterface, observe func(calls int)) *kvGatherer {
	return newGatherer(addr, func(ctx context.Context) (batchStream[opCall, *chordv1.OpReply], error) {
		stream, err := chordv1.NewKVServiceClient(conn).Batch(ctx)
		return &kvStream{stream: stream, observe: observe}, err
	})
}

// newReplicaGatherer gathers the reads and writes of records that go to one process.
func newReplicaGatherer(addr string, conn grpc.ClientConnInterface, observe func(calls int)) *replicaGatherer {
	return newGatherer(addr, func(ctx context.Context) (batchStream[replicaCall, *chordv1.ReplicaReply], error) {
		stream, err := chordv1.NewReplicaServiceClient(conn).Batch(ctx)
		return &replicaStream{stream: stream, observe: observe}, err
	})
}

// kvStream is a batchStream over KVService.Batch.
type kvStream struct {
	stream  grpc.BidiStreamingClient[chordv1.OpBatch, chordv1.OpBatchReply]
	observe func(calls int)
	out     chordv1.OpBatch // used again and again: a message is encoded when Send returns
}

func (s *kvStream) send(calls []opCall) error {
	s.out.Calls = s.out.Calls[:0]
	for _, c := range calls {
		s.out.Calls = append(s.out.Calls, c.OpCall)
	}
	defer clear(s.out.Calls)
	if s.observe != nil {
		s.observe(len(calls))
	}
	return s.stream.Send(&s.out)
}

func (s *kvStream) recv() ([]*chordv1.OpReply, error) {
	m, err := s.stream.Recv()
	return m.GetReplies(), err
}

// replicaStream is a batchStream over ReplicaService.Batch.
type replicaStream struct {
	stream  grpc.BidiStreamingClient[chordv1.ReplicaBatch, chordv1.ReplicaBatchReply]
	observe func(calls int)
	out     chordv1.ReplicaBatch // used again and again: a message is encoded when Send returns
}

func (s *replicaStream) send(calls []replicaCall) error {
	s.out.Calls = s.out.Calls[:0]
	for _, c := range calls {
		s.out.Calls = append(s.out.Calls, c.ReplicaCall)
	}
	defer clear(s.out.Calls)
	if s.observe != nil {
		s.observe(len(calls))
	}
	return s.stream.Send(&s.out)
}

func (s *replicaStream) recv() ([]*chordv1.ReplicaReply, error) {
	m, err := s.stream.Recv()
	return m.GetReplies(), err
}
