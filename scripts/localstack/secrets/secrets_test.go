package secrets_test

import (
	"context"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"github.com/googleapis/gax-go/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dlai-sd/plant/scripts/localstack/secrets"
)

const (
	parent = "projects/plant-local"
	name   = parent + "/secrets/plant-root-key"
)

func start(t *testing.T, folder string) (*secrets.Server, *secretmanager.Client) {
	t.Helper()
	s, err := secrets.Start(folder, 0)
	require.NoError(t, err)
	c, err := secretmanager.NewClient(t.Context(), secrets.ClientOptions(s.Addr())...)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.Close() // a test may have done so
		require.NoError(t, s.Stop())
	})
	return s, c
}

func sum(data []byte) *int64 {
	n := int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	return &n
}

func create(t *testing.T, c *secretmanager.Client) {
	t.Helper()
	_, err := c.CreateSecret(t.Context(), &pb.CreateSecretRequest{Parent: parent, SecretId: "plant-root-key", Secret: &pb.Secret{}})
	require.NoError(t, err)
}

func add(t *testing.T, c *secretmanager.Client, data string) string {
	t.Helper()
	v, err := c.AddSecretVersion(t.Context(), &pb.AddSecretVersionRequest{
		Parent: name, Payload: &pb.SecretPayload{Data: []byte(data), DataCrc32C: sum([]byte(data))},
	})
	require.NoError(t, err)
	return v.GetName()
}

func access(ctx context.Context, c *secretmanager.Client, version string) (string, bool, error) {
	r, err := c.AccessSecretVersion(ctx, &pb.AccessSecretVersionRequest{Name: version},
		gax.WithTimeout(time.Second))
	if err != nil {
		return "", false, err
	}
	return string(r.GetPayload().GetData()), *sum(r.GetPayload().GetData()) == r.GetPayload().GetDataCrc32C(), nil
}

func TestASecondRunFindsItsKeys(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "secrets")
	first, c := start(t, folder)
	create(t, c)
	require.Equal(t, name+"/versions/1", add(t, c, "one"))
	require.Equal(t, name+"/versions/2", add(t, c, "two"))
	require.NoError(t, c.Close())
	require.NoError(t, first.Stop())

	s, err := secrets.Start(folder, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()
	c, err = secretmanager.NewClient(t.Context(), secrets.ClientOptions(s.Addr())...)
	require.NoError(t, err)
	defer c.Close()
	for version, want := range map[string]string{"1": "one", "2": "two", "latest": "two"} {
		got, ok, err := access(t.Context(), c, name+"/versions/"+version)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
}

func TestFilesAreForTheirUserAlone(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "secrets")
	_, c := start(t, folder)
	create(t, c)
	add(t, c, "one")
	info, err := os.Stat(folder)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err = files[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestStates(t *testing.T) {
	t.Parallel()
	_, c := start(t, t.TempDir())
	create(t, c)
	one, two := add(t, c, "one"), add(t, c, "two")

	_, err := c.DisableSecretVersion(t.Context(), &pb.DisableSecretVersionRequest{Name: two})
	require.NoError(t, err)
	_, _, err = access(t.Context(), c, name+"/versions/latest")
	require.Equal(t, codes.FailedPrecondition, status.Code(err), "latest is the newest, even disabled")
	_, err = c.EnableSecretVersion(t.Context(), &pb.EnableSecretVersionRequest{Name: two})
	require.NoError(t, err)
	_, _, err = access(t.Context(), c, two)
	require.NoError(t, err)

	destroyed, err := c.DestroySecretVersion(t.Context(), &pb.DestroySecretVersionRequest{Name: one})
	require.NoError(t, err)
	require.Equal(t, pb.SecretVersion_DESTROYED, destroyed.GetState())
	_, _, err = access(t.Context(), c, one)
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	_, err = c.EnableSecretVersion(t.Context(), &pb.EnableSecretVersionRequest{Name: one})
	require.Equal(t, codes.FailedPrecondition, status.Code(err), "destroyed is for ever")

	var listed []string
	versions := c.ListSecretVersions(t.Context(), &pb.ListSecretVersionsRequest{Parent: name})
	for {
		v, err := versions.Next()
		if err == iterator.Done { // its documented use
			break
		}
		require.NoError(t, err)
		listed = append(listed, v.GetName()+" "+v.GetState().String())
	}
	require.Equal(t, []string{two + " ENABLED", one + " DESTROYED"}, listed)
	v, err := c.GetSecretVersion(t.Context(), &pb.GetSecretVersionRequest{Name: name + "/versions/latest"})
	require.NoError(t, err)
	require.Equal(t, two, v.GetName())
	s, err := c.ListSecrets(t.Context(), &pb.ListSecretsRequest{Parent: parent}).Next()
	require.NoError(t, err)
	require.Equal(t, name, s.GetName())
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	_, c := start(t, t.TempDir())
	create(t, c)
	add(t, c, "one")
	_, err := c.CreateSecret(t.Context(), &pb.CreateSecretRequest{Parent: parent, SecretId: "plant-root-key", Secret: &pb.Secret{}})
	require.Equal(t, codes.AlreadyExists, status.Code(err))
	_, err = c.CreateSecret(t.Context(), &pb.CreateSecretRequest{Parent: parent, SecretId: "../evil", Secret: &pb.Secret{}})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = c.AddSecretVersion(t.Context(), &pb.AddSecretVersionRequest{Parent: name, Payload: &pb.SecretPayload{Data: []byte("x"), DataCrc32C: sum([]byte("y"))}})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = c.AddSecretVersion(t.Context(), &pb.AddSecretVersionRequest{Parent: name, Payload: &pb.SecretPayload{Data: make([]byte, 65537)}})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	for _, version := range []string{name + "/versions/9", name + "/versions/0", name + "/versions/x", parent + "/secrets/other/versions/1", name} {
		_, _, err = access(t.Context(), c, version)
		require.Equal(t, codes.NotFound, status.Code(err), version)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	s, c := start(t, t.TempDir())
	create(t, c)
	version := add(t, c, "one")
	for _, faults := range []secrets.Faults{{CorruptChecksum: true}, {CorruptData: true}} {
		s.SetFaults(faults)
		_, ok, err := access(t.Context(), c, version)
		require.NoError(t, err)
		require.False(t, ok, "the client's check finds it")
	}
	s.SetFaults(secrets.Faults{Unavailable: true})
	_, _, err := access(t.Context(), c, version)
	require.Error(t, err, "the real client tries again until its deadline")
	s.SetFaults(secrets.Faults{})
	got, ok, err := access(t.Context(), c, version)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "one", got)
}

func TestADamagedFileIsASentence(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "p.s.json"), []byte("{"), 0o600))
	_, err := secrets.Start(folder, 0)
	require.ErrorContains(t, err, "is damaged")
}
