package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/chordkv/chord/node"
)

// Settings of connections, the same for both ends where that matters.
const (
	// After so long without a sign of life, while calls or a stream are open, a peer is pinged; if it stays silent the connection is
	// given up, and everything that waits on it fails. Calls end by their deadlines long before that.
	keepaliveTime    = 10 * time.Second // the least that gRPC allows
	keepaliveTimeout = 4 * time.Second

	// An attempt to connect takes at most connectTimeout; between two there is a wait that grows from minReconnect to maxReconnect, during which
	// calls fail at once.
	connectTimeout = 2 * time.Second
	minReconnect   = 100 * time.Millisecond
	maxReconnect   = time.Second

	// Fixed flow-control windows: gRPC's adaptive ones send a ping with almost every message.
	streamWindow = 1 << 20
	connWindow   = 4 << 20

	maxHeaderBytes = 16 << 10
)

// messageLimit returns how long a message between processes of this configuration may be: a full batch and one value on top.
func messageLimit(cfg node.Config) int {
	const slack = 256 << 10
	return maxBatchBytes + cfg.MaxValueBytes + cfg.MaxKeyBytes + cfg.BatchBytes + slack
}

// dialOptions are those of a connection that comes back soon after the peer does, notices when it is gone, and never takes a proxy.
func dialOptions(creds credentials.TransportCredentials, maxMessage int) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: minReconnect, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxReconnect},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithMaxHeaderListSize(maxHeaderBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage), grpc.ForceCodecV2(wireCodec{})),
	}
}

// invoke makes a unary call to the process at addr and turns its error into one of ours.
func invoke[Q, A any](
	ctx context.Context, addr string, method func(context.Context, Q, ...grpc.CallOption) (A, error), request Q,
) (A, error) {
	var to peer.Peer // set as soon as the call has a connection to go out on
	answer, err := method(ctx, request, grpc.Peer(&to))
	if err != nil {
		return answer, errorFromStatus(ctx, addr, err, to.Addr != nil)
	}
	return answer, nil
}
