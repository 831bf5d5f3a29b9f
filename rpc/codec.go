package rpc

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// wireCodec is the codec of protobuf messages. Ours carry generated code for it (proto/chord/v1), which is about three times as fast as the reflection of
// package proto and allocates less; those of others (health, reflection, the status of errors) are encoded as always.
type wireCodec struct{}

var _ encoding.CodecV2 = wireCodec{}

// generated is a message with generated code.
type generated interface {
	SizeVT() int
	MarshalToSizedBufferVT(buf []byte) (int, error)
	UnmarshalVT(buf []byte) error
}

// Name implements encoding.CodecV2: what goes over the wire is plain protobuf.
func (wireCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	var size int
	var encode func(buf []byte) error
	switch m := v.(type) {
	case generated:
		size = m.SizeVT()
		encode = func(buf []byte) error {
			_, err := m.MarshalToSizedBufferVT(buf)
			return err
		}
	case proto.Message:
		size = proto.Size(m)
		encode = func(buf []byte) error {
			_, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(buf[:0], m)
			return err
		}
	default:
		return nil, fmt.Errorf("marshal %T: not a protobuf message", v)
	}
	if mem.IsBelowBufferPoolingThreshold(size) {
		buf := make([]byte, size)
		if err := encode(buf); err != nil {
			return nil, err
		}
		return mem.BufferSlice{mem.SliceBuffer(buf)}, nil
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	if err := encode((*buf)[:size]); err != nil {
		pool.Put(buf)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (wireCodec) Unmarshal(data mem.BufferSlice, v any) error {
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	switch m := v.(type) {
	case generated:
		return m.UnmarshalVT(buf.ReadOnlyData())
	case proto.Message:
		return proto.Unmarshal(buf.ReadOnlyData(), m)
	}
	return fmt.Errorf("unmarshal %T: not a protobuf message", v)
}
