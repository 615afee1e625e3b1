package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/functions/auditrun"
	"github.com/dlai-sd/plant/shared/domain"
	"github.com/dlai-sd/plant/shared/testkit/harness"
)

// createAll makes n skills by requests of 500 each.
func (s *server) createAll(t *testing.T, token string, n int) {
	t.Helper()
	for done := 0; done < n; {
		size := min(500, n-done)
		items := make([]string, size)
		for i := range items {
			items[i] = plain("Skill " + uuid.NewString())
		}
		a := s.post(t, token, skills+"/batch", `{"items":[`+strings.Join(items, ",")+`]}`)
		require.Equal(t, http.StatusOK, a.status)
		done += size
	}
}

// TestLargeExportIsAJob: up to 5,000 records come at once; one more, and the answer says
// where the bundle can be fetched. Both verifiers pass it.
func TestLargeExportIsAJob(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	s, writer := k.serve(t, auditRun, nil), k.serve(t, createSkill, nil)
	_, token := k.author(t, "acme")
	auditor := k.Token(t, k.Principal(t, "acme", domain.Auditor))
	path := exportPath("governance_agent", "acme", "")
	writer.createAll(t, token, auditrun.AtOnce)
	direct := s.get(t, auditor, path)
	require.Equal(t, "application/zip", direct.header.Get("Content-Type"))
	writer.create(t, token, plain("One more"))

	a := s.do(t, call{method: "GET", path: path, token: auditor})
	require.Equal(t, http.StatusAccepted, a.status, "%s", a.body)
	job := as[auditrun.Exported](t, a)
	require.EqualValues(t, auditrun.AtOnce+1, job.Records)
	require.Equal(t, "/api/v1/audit/exports/"+job.ID, a.header.Get("Location"))
	require.Equal(t, job, as[auditrun.Exported](t, s.get(t, auditor, a.header.Get("Location"))))
	require.Equal(t, 404, s.do(t, call{method: "GET", path: job.Bundle, token: k.Token(t, k.Principal(t, "globex", domain.Auditor))}).status)

	bundle := s.get(t, auditor, job.Bundle)
	require.Equal(t, "application/zip", bundle.header.Get("Content-Type"))
	report := k.judge(t, bundle.body, s.get(t, "", "/log/checkpoint").body)
	require.EqualValues(t, job.Records, report.Entities-int64(len(k.Keys)))
	require.Equal(t, bundle.body, s.get(t, auditor, job.Bundle).body, "the same cut, the same bytes")
	k.script(t, bundle.body)
}

// script gives a bundle to verify.py, as it comes in the bundle; it must pass it.
func (k *kit) script(t *testing.T, body []byte) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("NO PYTHON3: verify.py WAS NOT TESTED")
		return
	}
	dir := t.TempDir()
	r, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	script, err := fs.ReadFile(r, "verify.py")
	require.NoError(t, err)
	spki, err := x509.MarshalPKIXPublicKey(k.auditor(t).Trust)
	require.NoError(t, err)
	for name, content := range map[string][]byte{
		"bundle.zip": body, "root.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), "verify.py": script,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, python, "verify.py", "bundle.zip", "--trust", "root.pem", "--origin", harness.Origin)
	run.Dir = dir
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, 4, bytes.Count(out, []byte("passed")), "%s", out)
}
