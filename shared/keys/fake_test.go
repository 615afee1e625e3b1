package keys_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"net"
	"strings"
	"sync"
	"testing"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/dlai-sd/plant/shared/keys"
)

// fake is a Secret Manager behind the real client and gRPC.
type fake struct {
	secretmanagerpb.UnimplementedSecretManagerServiceServer
	mu       sync.Mutex
	secrets  map[string][][]byte
	reads    int
	fail     error
	noMaking bool // of secrets; versions may be added to those that are there
	spoil    func(*secretmanagerpb.AccessSecretVersionResponse)
	onAccess func()
	addName  string
}

func sum(data []byte) int64 { return int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))) }

func (f *fake) CreateSecret(_ context.Context, r *secretmanagerpb.CreateSecretRequest) (*secretmanagerpb.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	if f.noMaking {
		return nil, status.Error(codes.PermissionDenied, "no")
	}
	name := r.Parent + "/secrets/" + r.SecretId
	if _, exists := f.secrets[name]; exists {
		return nil, status.Error(codes.AlreadyExists, name)
	}
	f.secrets[name] = nil
	return &secretmanagerpb.Secret{Name: name}, nil
}

func (f *fake) AddSecretVersion(_ context.Context, r *secretmanagerpb.AddSecretVersionRequest) (*secretmanagerpb.SecretVersion, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Payload.DataCrc32C == nil || *r.Payload.DataCrc32C != sum(r.Payload.Data) {
		return nil, status.Error(codes.InvalidArgument, "no or wrong checksum")
	}
	if f.addName == "fail" {
		return nil, status.Error(codes.PermissionDenied, "no")
	}
	f.secrets[r.Parent] = append(f.secrets[r.Parent], r.Payload.Data)
	name := fmt.Sprintf("%s/versions/%d", r.Parent, len(f.secrets[r.Parent]))
	if f.addName != "" {
		name = f.addName
	}
	return &secretmanagerpb.SecretVersion{Name: name}, nil
}

func (f *fake) AccessSecretVersion(_ context.Context, r *secretmanagerpb.AccessSecretVersionRequest) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.onAccess != nil {
		f.onAccess()
	}
	if f.fail != nil {
		return nil, f.fail
	}
	secret, number, _ := strings.Cut(r.Name, "/versions/")
	versions := f.secrets[secret]
	var n int
	if _, err := fmt.Sscan(number, &n); err != nil || n < 1 || n > len(versions) {
		return nil, status.Error(codes.NotFound, "no such version")
	}
	data := versions[n-1]
	crc := sum(data)
	answer := &secretmanagerpb.AccessSecretVersionResponse{
		// As the real one does, it answers with the project's number.
		Name:    "projects/123456/secrets/" + strings.SplitN(r.Name, "/secrets/", 2)[1],
		Payload: &secretmanagerpb.SecretPayload{Data: data, DataCrc32C: &crc},
	}
	if f.spoil != nil {
		f.spoil(answer)
	}
	return answer, nil
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) readCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

// newSource starts a fake and a Source that talks to it.
func newSource(t *testing.T) (*keys.Source, *fake) {
	t.Helper()
	f := &fake{secrets: map[string][][]byte{}}
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	secretmanagerpb.RegisterSecretManagerServiceServer(server, f)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-served })
	client, err := secretmanager.NewClient(t.Context(),
		option.WithEndpoint("passthrough:///bufconn"), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return keys.NewSource(client), f
}
