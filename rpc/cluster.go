package rpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc/metadata"
)

// clusterKey is the metadata in which a process names its cluster with every call (a stream: when it is opened), so that two clusters
// whose addresses were mixed up can never merge, nor write into one another. It never changes, so header compression makes it cost one
// byte a call. Clients and processes that belong to no cluster yet send none.
const clusterKey = "chord-cluster"

// mark adds the cluster's id to what an outgoing call carries.
func (l *Local) mark(ctx context.Context) context.Context {
	if t := l.cluster.Load(); t != nil {
		return metadata.NewOutgoingContext(ctx, t.md)
	}
	return ctx
}

// admit refuses a call that comes from another cluster.
func (l *Local) admit(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	marks := md[clusterKey]
	if len(marks) == 0 {
		return nil
	}
	theirs, err := ParseClusterID(marks[0])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrongCluster, err)
	}
	return l.sameCluster(theirs)
}

// sameCluster refuses a process of another cluster. One that belongs to none yet may meet anyone.
func (l *Local) sameCluster(theirs ClusterID) error {
	if ours, ok := l.Cluster(); ok && ours != theirs {
		return fmt.Errorf("%w: %s belongs to cluster %v, the caller to %v", ErrWrongCluster, l.Addr, ours, theirs)
	}
	return nil
}
