package rehearsal

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlai-sd/plant/shared/testkit/testdata"
)

// A skill is created, embedded, certified, logged, exported and verified by the
// functions of the image with the settings of the plan.
func TestALifeInTheImage(t *testing.T) {
	v := build(t, "image", testdata.Root())
	d := setUp(t, v)
	d.serve(v)
	author, judge := d.principal(v, "founder", "author", "auditor"), d.principal(v, "judge", "genesis")

	id := d.must(http.MethodPost, skills, author, skill("Rehearsing"), "").text(t, "id")
	path := skills + "/" + id
	require.Eventually(t, func() bool {
		return strings.Contains(string(d.must(http.MethodGet, path+"/amendments", author, "", "").body), `"embedded"`)
	}, time.Minute, 50*time.Millisecond, "Pub/Sub pushed it to embed with a token, which signed the vector")
	etag := d.must(http.MethodGet, path, author, "", "").etag
	d.must(http.MethodPost, path+"/transitions", author, `{"to":"under_review"}`, etag)
	d.must(http.MethodPost, path+"/certify", judge, `{"decision":"certify"}`, "")
	certified := d.must(http.MethodGet, path, author, "", "")
	require.Equal(t, "certified", certified.text(t, "status"))

	pusher := d.setting("PUSH_SERVICE_ACCOUNT")
	require.Equal(t, http.StatusUnauthorized, d.event("audit-run", "/events/sequence", ""), "nobody")
	require.GreaterOrEqual(t, d.event("audit-run", "/events/sequence", "somebody@else.iam.gserviceaccount.com"), 400, "somebody else of the same issuer")
	require.Less(t, d.event("audit-run", "/events/sequence", pusher), 300)
	d.must(http.MethodGet, "/log/proof/"+certified.text(t, "version_hash"), "", "", "")

	d.token = author
	work := t.TempDir()
	bundle, root := filepath.Join(work, "bundle.zip"), filepath.Join(work, "root.pem")
	d.plant(v, "export", "entity:"+id, "--out", bundle)
	require.NoError(t, os.WriteFile(root, d.plant(v, "keys", "pem"), 0o600))
	said := d.plant(v, "verify", bundle, "--trust", root, "--origin", d.setting("PLANT_ORIGIN"))
	t.Logf("%s", said)
	d.facts()
}

// facts prints what each function took to start and takes now.
func (d *deployment) facts() {
	d.t.Logf("%-14s %12s %12s", "function", "ready after", "resident now")
	for _, name := range d.functions {
		r := d.services[name].serving
		d.t.Logf("%-14s %12s %9.1f MiB", name, r.took.Round(time.Millisecond), resident(r.process.PID()))
	}
}

// resident is a process's memory in MiB, 0 where there is no /proc.
func resident(pid int) float64 {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	fields := strings.Fields(string(b))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return 0
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}
