package rpc

import (
	"context"
	"math"
	"time"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// itemOverhead is what a call or record takes in a message besides its key and value, generously.
const itemOverhead = 64

// callReplica makes a gathered call to the replica at addr.
func (p *Peers) callReplica(ctx context.Context, addr string, call *chordv1.ReplicaCall, bytes int) (*chordv1.ReplicaReply, error) {
	r, err := p.acquire(addr)
	if err != nil {
		return nil, err
	}
	defer r.release()
	reply, err := r.replica.call(ctx, replicaCall{call}, bytes)
	if err != nil {
		return nil, err
	}
	if m := reply.GetError(); m != nil {
		return nil, itemErrorFromProto(addr, m)
	}
	return reply, nil
}

// Apply implements node.Peers. Records that do not fit into one message go in several, one after the other; if one fails, those before
// it have been applied.
func (p *Peers) Apply(ctx context.Context, to ring.Ref, records []node.Record, claims []node.Claim) ([]node.Version, error) {
	ctx, cancel := withDeadline(ctx, p.local.Config.ReplicaTimeout)
	defer cancel()
	versions := make([]node.Version, 0, len(records))
	for len(records) > 0 {
		n, bytes := 0, len(claims)*claimBytes
		for n < len(records) && n < maxItems {
			size := len(records[n].Key) + len(records[n].Value) + len(records[n].History) + itemOverhead
			if n > 0 && bytes+size > maxBatchBytes {
				break
			}
			bytes += size
			n++
		}
		reply, err := p.callReplica(ctx, to.Addr, &chordv1.ReplicaCall{Records: recordsToProto(records[:n]), Claims: claimsToProto(claims)}, bytes)
		if err != nil {
			return nil, err
		}
		got := reply.GetVersions()
		if len(got) != n {
			return nil, malformed(to.Addr, badField("versions", "%d, want %d", len(got), n))
		}
		versions = append(versions, versionsFromProto(got)...)
		records = records[n:]
	}
	return versions, nil
}

// Fetch implements node.Peers. It asks for no more than fits into a message; the answer says how far it came.
func (p *Peers) Fetch(ctx context.Context, to ring.Ref, wants []node.Want) ([]node.Found, error) {
	if len(wants) == 0 {
		return nil, nil
	}
	ctx, cancel := withDeadline(ctx, p.local.Config.ReplicaTimeout)
	defer cancel()
	n, bytes := 0, 0
	for n < len(wants) && n < maxItems && (n == 0 || bytes < maxBatchBytes/2) {
		bytes += len(wants[n].Key) + itemOverhead
		n++
	}
	reply, err := p.callReplica(ctx, to.Addr, &chordv1.ReplicaCall{Wants: wantsToProto(wants[:n])}, bytes)
	if err != nil {
		return nil, err
	}
	found, err := foundFromProto(reply.GetFound())
	if err == nil && (len(found) < 1 || len(found) > n) {
		err = badField("found", "%d, want 1 to %d", len(found), n)
	}
	if err != nil {
		return nil, malformed(to.Addr, err)
	}
	return found, nil
}

// Do implements node.Peers.
func (p *Peers) Do(ctx context.Context, to ring.Ref, op node.Op) (node.Result, error) {
	ctx, cancel := withDeadline(ctx, p.local.Config.ReplicaTimeout)
	defer cancel()
	r, err := p.acquire(to.Addr)
	if err != nil {
		return node.Result{}, err
	}
	defer r.release()
	call := opCall{forwardToProto(op, timeoutMillis(ctx))}
	reply, err := r.ops.call(ctx, call, len(op.Key)+len(op.Value)+itemOverhead)
	if err != nil {
		return node.Result{}, err
	}
	return resultFromProto(to.Addr, &op, reply)
}

// timeoutMillis is how long the owner may work on an operation: a little less than the caller waits, so that a live owner whose replicas
// are slow has time to say that itself. 0 means no limit.
func timeoutMillis(ctx context.Context) uint32 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline)
	left -= min(left/10, 50*time.Millisecond)
	return uint32(min(max(left.Milliseconds(), 1), math.MaxUint32))
}
