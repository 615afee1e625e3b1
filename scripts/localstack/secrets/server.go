// Package secrets is a Secret Manager for one machine: the real client talks
// to it over gRPC, and the secrets stay in a folder that only its user can
// read. It knows no permissions: whoever reaches the port reads everything.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// stopDeadline is how long calls in flight may take when the server stops.
const stopDeadline = 5 * time.Second

// Server answers the part of google.cloud.secretmanager.v1 that creates,
// lists, adds, reads, disables, enables and destroys.
type Server struct {
	pb.UnimplementedSecretManagerServiceServer

	now    func() time.Time
	grpc   *grpc.Server
	addr   string
	served chan struct{} // closed when Serve has returned
	err    error         // of Serve

	mu      sync.Mutex
	store   store
	secrets map[string]*secret // by resource name
	faults  Faults
}

// Faults are what a test lets go wrong.
type Faults struct {
	CorruptChecksum bool // payloads come with the CRC32C of something else
	CorruptData     bool // payloads come with a flipped bit
	Unavailable     bool // every call fails with code Unavailable
}

// Start reads the folder, creating it if it is missing, and serves on port of
// 127.0.0.1, or any free one if that is 0.
func Start(folder string, port int) (*Server, error) {
	st, err := openStore(folder)
	if err != nil {
		return nil, err
	}
	all, err := st.readAll()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("start the local Secret Manager: %w", err)
	}
	s := &Server{now: time.Now, addr: ln.Addr().String(), store: st, secrets: all, served: make(chan struct{})}
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(s.fail))
	pb.RegisterSecretManagerServiceServer(s.grpc, s)
	go func() {
		defer close(s.served)
		s.err = s.grpc.Serve(ln)
	}()
	return s, nil
}

// Addr is host and port, for SECRET_MANAGER_ENDPOINT.
func (s *Server) Addr() string { return s.addr }

// ClientOptions make the real client talk to a server of this package.
func ClientOptions(addr string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(addr),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// SetFaults lets things go wrong from now on; the zero value ends it.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Stop ends the server. What it was told is on disk already.
func (s *Server) Stop() error {
	timer := time.AfterFunc(stopDeadline, s.grpc.Stop)
	s.grpc.GracefulStop()
	timer.Stop()
	<-s.served
	if s.err != nil && !errors.Is(s.err, grpc.ErrServerStopped) {
		return fmt.Errorf("local Secret Manager: %w", s.err)
	}
	return nil
}

func (s *Server) fail(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	s.mu.Lock()
	unavailable := s.faults.Unavailable
	s.mu.Unlock()
	if unavailable {
		return nil, errUnavailable
	}
	return next(ctx, req)
}
