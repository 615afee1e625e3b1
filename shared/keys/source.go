package keys

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dlai-sd/plant/shared/domain"
)

// callTimeout bounds one call to Secret Manager, retries included.
const callTimeout = 5 * time.Second

// pinned is a version named by its number. "latest" is refused because it is
// the newest one created, even if it is disabled, and because a key that
// changes by itself cannot be told apart from one that was changed.
var pinned = regexp.MustCompile(`^projects/[a-z0-9.:-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[1-9][0-9]{0,9}$`)

// secretName is a secret without a version.
var secretName = regexp.MustCompile(`^(projects/[a-z0-9.:-]{1,63})/secrets/([A-Za-z0-9_-]{1,255})$`)

// Source reads and stores secrets.
type Source struct{ client *secretmanager.Client }

// NewSource makes a Source of a client, which stays its caller's to close.
func NewSource(client *secretmanager.Client) *Source { return &Source{client: client} }

// CheckVersion reports whether a secret's version is named as one that never changes:
// projects/P/secrets/S/versions/N, N a number.
func CheckVersion(name string) error {
	if !pinned.MatchString(name) {
		return errors.New("secret version: name it as projects/P/secrets/S/versions/N with a number")
	}
	return nil
}

// Payload returns what a pinned version (projects/P/secrets/S/versions/N)
// holds, after comparing its CRC32C; an answer without one is refused. When
// Secret Manager cannot be reached the error is a domain.Error with
// domain.CodeUnavailable.
func (s *Source) Payload(ctx context.Context, version string) ([]byte, error) {
	if err := CheckVersion(version); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := s.client.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: version})
	if err != nil {
		return nil, callFailed("read "+version, err)
	}
	payload := answer.GetPayload()
	switch {
	case payload == nil || payload.DataCrc32C == nil:
		return nil, fmt.Errorf("read %s: the answer has no checksum", version)
	case payload.GetDataCrc32C() != checksum(payload.GetData()):
		return nil, fmt.Errorf("read %s: the checksum does not match", version)
	case !sameVersion(answer.GetName(), version):
		return nil, fmt.Errorf("read %s: the answer is about another version", version)
	}
	return payload.GetData(), nil
}

// sameVersion compares two names without the project, which Secret Manager
// answers as a number.
func sameVersion(a, b string) bool {
	_, a, found := strings.Cut(a, "/secrets/")
	_, b, _ = strings.Cut(b, "/secrets/")
	return found && a == b
}

func checksum(data []byte) int64 {
	return int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
}

// callFailed keeps the code of a gRPC error and drops its text.
func callFailed(doing string, err error) error {
	code := status.Code(err)
	if errors.Is(err, context.DeadlineExceeded) {
		code = codes.DeadlineExceeded
	}
	cause := fmt.Errorf("%s: Secret Manager answers %s", doing, code)
	switch code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Unknown:
		return &domain.Error{Code: domain.CodeUnavailable, Detail: "A secret cannot be read now; try again.", Err: cause}
	}
	return cause
}
