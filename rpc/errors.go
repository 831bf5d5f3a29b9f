package rpc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

var (
	// ErrNotSent marks a failed call of which the peer has certainly seen nothing: it may be repeated, there or elsewhere.
	ErrNotSent = errors.New("not sent")
	// ErrWrongCluster: the process that was called belongs to another cluster. Nothing was applied. An operator has pointed a
	// process at the wrong address; repeating does not help.
	ErrWrongCluster = errors.New("wrong cluster")
	// ErrClosed: the call was made on, or interrupted by, the closing of the own Peers or Client.
	ErrClosed = errors.New("closed")
)

// errorDomain is the ErrorInfo domain of everything that our handlers return. An error without it was made by something in between.
const errorDomain = "chord"

// reasonInternal is the reason of errors that are none of the table: bugs, mostly.
const reasonInternal = "INTERNAL"

// The error table, used in both directions. An error is carried by the first entry that it wraps, which therefore goes from the
// specific to the general: what is known about the outcome before what caused it.
var errorTable = []struct {
	err        error
	code       codes.Code
	reason     string
	notApplied bool // whoever returns this has applied nothing, nor has anyone on its behalf
	dead       bool // Peers: the node counts as dead. Never carried beside another entry: it is said of the callee itself
}{
	{node.ErrUnknown, codes.Unknown, "OUTCOME_UNKNOWN", false, false},
	{node.ErrNotOwner, codes.FailedPrecondition, "NOT_OWNER", true, false},
	{node.ErrSuperseded, codes.Unavailable, "SUPERSEDED", true, false},
	{node.ErrCondition, codes.Aborted, "CONDITION", true, false},
	{node.ErrInvalid, codes.InvalidArgument, "INVALID", true, false},
	{ErrWrongCluster, codes.FailedPrecondition, "WRONG_CLUSTER", true, false},
	{node.ErrConsistency, codes.Unavailable, "CONSISTENCY", false, false},
	{node.ErrNoRoute, codes.Unavailable, "NO_ROUTE", true, false},
	{node.ErrMinority, codes.Unavailable, "MINORITY", true, false},
	{node.ErrTooManyWatches, codes.ResourceExhausted, "TOO_MANY_WATCHES", true, false},
	{node.ErrClockSkew, codes.FailedPrecondition, "CLOCK_SKEW", false, false},
	{node.ErrStoreFull, codes.ResourceExhausted, "STORE_FULL", false, false},
	{node.ErrCorrupt, codes.DataLoss, "CORRUPT", false, false},
	{node.ErrStore, codes.Internal, "STORE", false, false},
	{node.ErrNoNode, codes.NotFound, "NO_NODE", true, true},
	{node.ErrNotReady, codes.Unavailable, "NOT_READY", true, true},
	{node.ErrUnreachable, codes.Unavailable, "UNREACHABLE", false, true},
	{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE", false, false},
	{context.Canceled, codes.Canceled, "CANCELED", false, false},
}

// MaybeApplied reports whether a call that returned err may have taken effect all the same. If it reports false, the call may be repeated
// anywhere; if it reports true, a write may be repeated only with the same request id.
func MaybeApplied(err error) bool {
	if errors.Is(err, ErrNotSent) {
		return false
	}
	for _, e := range errorTable {
		if errors.Is(err, e.err) {
			return !e.notApplied
		}
	}
	return true
}

// RemoteError is an error that another process returned. It wraps the sentinels that the original wrapped.
type RemoteError struct {
	Addr    string // who answered
	Message string // the text of the original
	causes  []error
}

func (e *RemoteError) Error() string { return e.Addr + ": " + e.Message }

// Unwrap returns the sentinels; in place of that of a NotOwnerError or ConditionError, the error itself.
func (e *RemoteError) Unwrap() []error { return e.causes }

// classify finds the entries of the table that an error wraps: the one that carries it (code and reason), and the reasons of the others.
func classify(err error) (code codes.Code, reason string, also []string) {
	for _, e := range errorTable {
		switch {
		case !errors.Is(err, e.err):
		case reason == "":
			code, reason = e.code, e.reason
		case !e.dead:
			also = append(also, e.reason)
		}
	}
	if reason == "" {
		return codes.Internal, reasonInternal, nil
	}
	return code, reason, also
}

// causesOf is the reverse of classify.
func causesOf(reasons []string, hint ring.Ref, condition *node.ConditionError, epoch uint64) []error {
	var causes []error
	for _, reason := range reasons {
		for _, e := range errorTable {
			switch {
			case e.reason != reason:
			case e.err == node.ErrNotOwner:
				causes = append(causes, &node.NotOwnerError{Hint: hint})
			case e.err == node.ErrCondition:
				causes = append(causes, condition)
			case e.err == node.ErrSuperseded:
				causes = append(causes, &node.SupersededError{Epoch: min(epoch, maxEpoch)})
			default:
				causes = append(causes, e.err)
			}
		}
	}
	return causes
}

func hintOf(err error) ring.Ref {
	var notOwner *node.NotOwnerError
	if errors.As(err, &notOwner) {
		return notOwner.Hint
	}
	return ring.Ref{}
}

// epochOf returns that of the SupersededError in an error, 0 if there is none.
func epochOf(err error) uint64 {
	var superseded *node.SupersededError
	if errors.As(err, &superseded) {
		return superseded.Epoch
	}
	return 0
}

// conditionOf returns the ConditionError in an error, nil if there is none.
func conditionOf(err error) (e *node.ConditionError) {
	errors.As(err, &e)
	return e
}

const maxErrorText = 4 << 10 // bytes; HTTP/2 trailers are limited

func clip(text string) string {
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD") // protobuf strings and HTTP/2 trailers want UTF-8; keys need not be
}

// errorToStatus makes the error that a gRPC handler returns of one of ours.
func errorToStatus(err error) error {
	if err == nil {
		return nil
	}
	code, reason, also := classify(err)
	info := &errdetails.ErrorInfo{Domain: errorDomain, Reason: reason}
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(info)}
	if len(also) > 0 {
		info.Metadata = map[string]string{"also": strings.Join(also, ",")}
	}
	if hint := hintOf(err); !hint.IsZero() {
		if info.Metadata == nil {
			info.Metadata = make(map[string]string, 2)
		}
		info.Metadata["hint-id"], info.Metadata["hint-addr"] = hint.ID.String(), clip(hint.Addr)
	}
	if epoch := epochOf(err); epoch != 0 {
		if info.Metadata == nil {
			info.Metadata = make(map[string]string, 1)
		}
		info.Metadata["epoch"] = strconv.FormatUint(epoch, 10)
	}
	if m := conflictToProto(conditionOf(err)); m != nil {
		details = append(details, protoadapt.MessageV1Of(m))
	}
	st, detailsErr := status.New(code, clip(err.Error())).WithDetails(details...)
	if detailsErr != nil {
		panic(detailsErr) // an ErrorInfo can always be marshaled, and no entry of the table has code OK
	}
	return st.Err()
}

// errorToItem makes the error of one item of a batch.
func errorToItem(err error) *chordv1.ItemError {
	code, reason, also := classify(err)
	return &chordv1.ItemError{
		Code: int32(code), Reason: strings.Join(append([]string{reason}, also...), ","), Message: clip(err.Error()), Hint: refToProto(hintOf(err)),
		Conflict: conflictToProto(conditionOf(err)), Epoch: epochOf(err),
	}
}

func itemErrorFromProto(addr string, m *chordv1.ItemError) error {
	hint, err := optionalRef("hint", m.GetHint())
	if err != nil {
		return malformed(addr, err)
	}
	return &RemoteError{Addr: addr, Message: m.GetMessage(), causes: causesOf(strings.Split(m.GetReason(), ","), hint, conflictFromProto(m.GetConflict()), m.GetEpoch())}
}

// Answered returns the error with which the process at addr itself answered a gRPC call that failed with err; nil if the error was made in between, and perhaps nobody was
// reached.
func Answered(addr string, err error) *RemoteError {
	st := status.Convert(err)
	var info *errdetails.ErrorInfo
	var conflict *chordv1.Conflict
	for _, detail := range st.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				info = detail
			}
		case *chordv1.Conflict:
			conflict = detail
		}
	}
	if info == nil {
		return nil
	}
	reasons := append([]string{info.GetReason()}, strings.Split(info.GetMetadata()["also"], ",")...)
	epoch, _ := strconv.ParseUint(info.GetMetadata()["epoch"], 10, 64) // none, most of the time
	causes := causesOf(reasons, hintFromMetadata(info.GetMetadata()), conflictFromProto(conflict), epoch)
	return &RemoteError{Addr: addr, Message: st.Message(), causes: causes}
}

// errorFromStatus makes one of our errors of what a gRPC call to addr returned. sent says whether the request may have left this process.
func errorFromStatus(ctx context.Context, addr string, err error, sent bool) error {
	if answer := Answered(addr, err); answer != nil {
		return answer
	}
	st := status.Convert(err)
	switch st.Code() {
	case codes.ResourceExhausted:
		return fmt.Errorf("%s: %w: %s", addr, node.ErrInvalid, st.Message()) // a message above the limit of either side
	case codes.Unimplemented:
		return unreachable(addr, "not a chord process, or of another version: "+st.Message(), false)
	case codes.DeadlineExceeded:
		return lateError(ctx, addr, sent)
	case codes.Canceled:
		if ctx.Err() != nil {
			return lateError(ctx, addr, sent)
		}
	}
	return unreachable(addr, transportText(st.Message()), sent)
}

func hintFromMetadata(md map[string]string) ring.Ref {
	id, err := ring.ParseID(md["hint-id"])
	if err != nil || len(md["hint-addr"]) > maxAddrBytes {
		return ring.Ref{} // a hint is no more than that
	}
	return ring.Ref{ID: id, Addr: md["hint-addr"]}
}

// lateError is the error of a call whose context ended before the answer came. If the caller gave up, that says nothing about the peer;
// if the deadline passed, the peer counts as unreachable.
func lateError(ctx context.Context, addr string, sent bool) error {
	if cause := ctx.Err(); cause == context.Canceled { // contexts return the sentinels themselves
		if !sent {
			return fmt.Errorf("%s: %w: %w", addr, ErrNotSent, cause)
		}
		return fmt.Errorf("%s: %w", addr, cause)
	}
	if !sent {
		return fmt.Errorf("%s: %w: %w in time: %w", addr, node.ErrUnreachable, ErrNotSent, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s: %w: no answer in time: %w", addr, node.ErrUnreachable, context.DeadlineExceeded)
}

func unreachable(addr, text string, sent bool) error {
	if !sent {
		return fmt.Errorf("%s: %w: %w: %s", addr, node.ErrUnreachable, ErrNotSent, text)
	}
	return fmt.Errorf("%s: %w: %s", addr, node.ErrUnreachable, text)
}

// closedError is the error of a call that the closing of this side ended: it says nothing about the peer.
func closedError(addr string, sent bool) error {
	if !sent {
		return fmt.Errorf("%s: %w: %w", addr, ErrNotSent, ErrClosed)
	}
	return fmt.Errorf("%s: %w", addr, ErrClosed)
}

// invalid is the error of a request that makes no sense.
func invalid(err error) error { return fmt.Errorf("%w: %w", node.ErrInvalid, err) }

// malformed is the error of an answer that makes no sense: whoever sends it is not to be talked to.
func malformed(addr string, err error) error {
	return fmt.Errorf("%s: %w: malformed answer: %w", addr, node.ErrUnreachable, err)
}

// transportText digs out of gRPC's nested text what a person can act on: `dial tcp 127.0.0.1:7400: connect: connection refused`. Only
// people read it; nothing is decided by it.
func transportText(text string) string {
	if at := strings.LastIndex(text, `desc = "`); at >= 0 {
		if quoted, err := strconv.QuotedPrefix(text[at+len(`desc = `):]); err == nil {
			if inner, err := strconv.Unquote(quoted); err == nil {
				text = inner
			}
		}
	}
	text = strings.TrimPrefix(text, "transport: ")
	return strings.TrimPrefix(text, "Error while dialing: ")
}
