package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// healthService is the standard health service. The whole server ("") and KVService are healthy while clients are served.
type healthService struct {
	healthv1.UnimplementedHealthServer
	s *Server
}

// watchInterval is how long a change of health may take to reach a watcher.
const watchInterval = time.Second

func (h healthService) state(service string) healthv1.HealthCheckResponse_ServingStatus {
	switch service {
	case "", chordv1.KVService_ServiceDesc.ServiceName:
	default:
		return healthv1.HealthCheckResponse_SERVICE_UNKNOWN
	}
	if h.s.Ready() {
		return healthv1.HealthCheckResponse_SERVING
	}
	return healthv1.HealthCheckResponse_NOT_SERVING
}

func (h healthService) Check(_ context.Context, m *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	state := h.state(m.GetService())
	if state == healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Errorf(codes.NotFound, "unknown service %q", m.GetService())
	}
	return &healthv1.HealthCheckResponse{Status: state}, nil
}

func (h healthService) Watch(m *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for last := healthv1.HealthCheckResponse_ServingStatus(-1); ; {
		if state := h.state(m.GetService()); state != last {
			if err := stream.Send(&healthv1.HealthCheckResponse{Status: state}); err != nil {
				return err
			}
			last = state
		}
		select {
		case <-tick.C:
		case <-h.s.stopping:
			return status.Error(codes.Unavailable, "the server stops")
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
