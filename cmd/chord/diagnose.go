package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// What diagnose finds.
var (
	// errNotChord: something listens at an address, but it is not a chordd.
	errNotChord = errors.New("answers, but not as a chordd")
	// errNobody: no connection can be made. The error that wraps it is the reason.
	errNobody = errors.New("nobody listens")
	// errMute: connections are accepted, and that is all.
	errMute = errors.New("accepts connections, but does not answer: it is stopped, stuck, or no chordd")
)

// nobody is an errNobody with the reason, in the words of the operating system.
type nobody struct{ reason string }

func (e nobody) Error() string        { return e.reason }
func (e nobody) Is(target error) bool { return target == errNobody }

const (
	diagnoseTimeout = time.Second
	// http2Hello is what a gRPC client sends first: the connection preface and empty SETTINGS (RFC 9113, section 3.4).
	http2Hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	// http2Settings is the type byte of the frame that an HTTP/2 server must answer with, the fourth of nine header bytes.
	http2Settings = 4
)

// diagnose finds out what is at an address from which no answer of a chordd came, in a second or two: what gRPC says of such
// an address is neither short nor reliable. It returns nil where it cannot say more than the failed call.
func diagnose(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nobody{dialReason(err)}
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil
	}
	if _, err := io.WriteString(conn, http2Hello); err != nil {
		return errNotChord
	}
	var header [9]byte
	_, err = io.ReadFull(conn, header[:])
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errMute
	case err != nil || header[3] != http2Settings:
		return errNotChord
	}
	return sayHello(ctx, addr)
}

// sayHello finds HTTP/2 servers that are not a chordd, such as the admin listener of one.
func sayHello(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return nil
	}
	defer conn.Close()
	_, err = chordv1.NewRingServiceClient(conn).Hello(ctx, &chordv1.HelloRequest{})
	if status.Code(err) == codes.Unimplemented {
		return errNotChord
	}
	return nil
}

// dialReason is why no connection could be made, without the address and the layers round it.
func dialReason(err error) string {
	var (
		dns   *net.DNSError
		errno syscall.Errno
		late  net.Error
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &late) && late.Timeout():
		return fmt.Sprintf("no connection within %v", diagnoseTimeout)
	}
	return err.Error()
}
