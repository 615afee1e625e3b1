package secrets

import (
	"context"
	"hash/crc32"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const payloadMost = 64 << 10 // Secret Manager's limit, bytes

var (
	errUnavailable = status.Error(codes.Unavailable, "The service is currently unavailable.")
	projectName    = regexp.MustCompile(`^projects/[a-z0-9-]{1,63}$`)
	secretID       = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
)

func checksum(data []byte) int64 {
	return int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}

// CreateSecret makes a secret without versions.
func (s *Server) CreateSecret(_ context.Context, r *pb.CreateSecretRequest) (*pb.Secret, error) {
	if !projectName.MatchString(r.GetParent()) || !secretID.MatchString(r.GetSecretId()) {
		return nil, status.Error(codes.InvalidArgument, "The parent or the secret id is malformed.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.GetParent() + "/secrets/" + r.GetSecretId()
	if s.secrets[name] != nil {
		return nil, status.Errorf(codes.AlreadyExists, "Secret [%s] already exists.", name)
	}
	made := &secret{Name: name, Created: s.now().UTC(), Labels: r.GetSecret().GetLabels()}
	if err := s.store.write(made); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	s.secrets[name] = made
	return made.proto(), nil
}

// GetSecret describes a secret.
func (s *Server) GetSecret(_ context.Context, r *pb.GetSecretRequest) (*pb.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.secrets[r.GetName()]
	if found == nil {
		return nil, notFound(r.GetName())
	}
	return found.proto(), nil
}

// ListSecrets describes a project's secrets by name, all on one page.
func (s *Server) ListSecrets(_ context.Context, r *pb.ListSecretsRequest) (*pb.ListSecretsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	response := &pb.ListSecretsResponse{}
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		if strings.HasPrefix(name, r.GetParent()+"/secrets/") {
			response.Secrets = append(response.Secrets, s.secrets[name].proto())
		}
	}
	response.TotalSize = int32(len(response.Secrets)) // #nosec -- a folder of files
	return response, nil
}

// AddSecretVersion adds a payload; a checksum that does not match it is
// refused.
func (s *Server) AddSecretVersion(_ context.Context, r *pb.AddSecretVersionRequest) (*pb.SecretVersion, error) {
	data, sum := r.GetPayload().GetData(), checksum(r.GetPayload().GetData())
	if r.GetPayload().DataCrc32C != nil && r.GetPayload().GetDataCrc32C() != sum {
		return nil, status.Error(codes.InvalidArgument, "The checksum does not match the payload.")
	}
	if len(data) == 0 || len(data) > payloadMost {
		return nil, status.Error(codes.InvalidArgument, "The payload must be 1 to 65536 bytes.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.secrets[r.GetParent()]
	if found == nil {
		return nil, notFound(r.GetParent())
	}
	changed := found.clone()
	changed.Versions = append(changed.Versions, version{
		Data: data, CRC32C: sum, State: pb.SecretVersion_ENABLED.String(), Created: s.now().UTC(),
	})
	if err := s.replace(changed); err != nil {
		return nil, err
	}
	return changed.version(len(changed.Versions)), nil
}

// GetSecretVersion describes a version.
func (s *Server) GetSecretVersion(_ context.Context, r *pb.GetSecretVersionRequest) (*pb.SecretVersion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, n, err := s.resolve(r.GetName())
	if err != nil {
		return nil, err
	}
	return found.version(n), nil
}

// ListSecretVersions describes a secret's versions, the newest first, all on
// one page.
func (s *Server) ListSecretVersions(_ context.Context, r *pb.ListSecretVersionsRequest) (*pb.ListSecretVersionsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.secrets[r.GetParent()]
	if found == nil {
		return nil, notFound(r.GetParent())
	}
	response := &pb.ListSecretVersionsResponse{TotalSize: int32(len(found.Versions))} // #nosec -- few
	for n := len(found.Versions); n > 0; n-- {
		response.Versions = append(response.Versions, found.version(n))
	}
	return response, nil
}

// AccessSecretVersion returns the payload and the checksum it came with.
func (s *Server) AccessSecretVersion(_ context.Context, r *pb.AccessSecretVersionRequest) (*pb.AccessSecretVersionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, n, err := s.resolve(r.GetName())
	if err != nil {
		return nil, err
	}
	v := found.Versions[n-1]
	if v.State != pb.SecretVersion_ENABLED.String() {
		return nil, status.Errorf(codes.FailedPrecondition, "Secret Version [%s] is in %s state.", found.version(n).GetName(), v.State)
	}
	data, sum := slices.Clone(v.Data), v.CRC32C
	if s.faults.CorruptData {
		data[0] ^= 1
	}
	if s.faults.CorruptChecksum {
		sum ^= 1
	}
	return &pb.AccessSecretVersionResponse{
		Name: found.version(n).GetName(), Payload: &pb.SecretPayload{Data: data, DataCrc32C: &sum},
	}, nil
}

// DisableSecretVersion makes a version unreadable until it is enabled.
func (s *Server) DisableSecretVersion(_ context.Context, r *pb.DisableSecretVersionRequest) (*pb.SecretVersion, error) {
	return s.setState(r.GetName(), pb.SecretVersion_DISABLED)
}

// EnableSecretVersion makes a disabled version readable again.
func (s *Server) EnableSecretVersion(_ context.Context, r *pb.EnableSecretVersionRequest) (*pb.SecretVersion, error) {
	return s.setState(r.GetName(), pb.SecretVersion_ENABLED)
}

// DestroySecretVersion deletes a version's payload for ever.
func (s *Server) DestroySecretVersion(_ context.Context, r *pb.DestroySecretVersionRequest) (*pb.SecretVersion, error) {
	return s.setState(r.GetName(), pb.SecretVersion_DESTROYED)
}

func (s *Server) setState(name string, state pb.SecretVersion_State) (*pb.SecretVersion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, n, err := s.resolve(name)
	if err != nil {
		return nil, err
	}
	changed := found.clone()
	v := &changed.Versions[n-1]
	if v.State == pb.SecretVersion_DESTROYED.String() {
		return nil, status.Errorf(codes.FailedPrecondition, "Secret Version [%s] is in DESTROYED state.", changed.version(n).GetName())
	}
	v.State = state.String()
	if state == pb.SecretVersion_DESTROYED {
		v.Data, v.CRC32C, v.Destroyed = nil, 0, s.now().UTC()
	}
	if err := s.replace(changed); err != nil {
		return nil, err
	}
	return changed.version(n), nil
}

// replace writes the changed secret and then uses it. s.mu is held.
func (s *Server) replace(changed *secret) error {
	if err := s.store.write(changed); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	s.secrets[changed.Name] = changed
	return nil
}

// resolve finds a version by number, or latest, which is the newest version
// whatever its state. s.mu is held.
func (s *Server) resolve(name string) (*secret, int, error) {
	parent, v, _ := strings.Cut(name, "/versions/")
	found := s.secrets[parent]
	if found == nil {
		return nil, 0, notFound(parent)
	}
	n, err := strconv.Atoi(v)
	if v == "latest" {
		n, err = len(found.Versions), nil
	}
	if err != nil || n < 1 || n > len(found.Versions) {
		return nil, 0, status.Errorf(codes.NotFound, "Secret Version [%s] not found.", name)
	}
	return found, n, nil
}

func notFound(name string) error {
	return status.Errorf(codes.NotFound, "Secret [%s] not found.", name)
}

func (s *secret) proto() *pb.Secret {
	return &pb.Secret{Name: s.Name, CreateTime: timestamppb.New(s.Created), Labels: s.Labels}
}

func (s *secret) version(n int) *pb.SecretVersion {
	v := s.Versions[n-1]
	described := &pb.SecretVersion{
		Name:                           s.Name + "/versions/" + strconv.Itoa(n),
		CreateTime:                     timestamppb.New(v.Created),
		State:                          pb.SecretVersion_State(pb.SecretVersion_State_value[v.State]),
		ClientSpecifiedPayloadChecksum: true,
	}
	if !v.Destroyed.IsZero() {
		described.DestroyTime = timestamppb.New(v.Destroyed)
	}
	return described
}
