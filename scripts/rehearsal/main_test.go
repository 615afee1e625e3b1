// Package rehearsal runs the deployment that infra/ describes on this machine: the
// files of the built image, the settings of Terraform's plan (the summary kept in
// scripts/cloud/testdata), logins of the database that are named and granted as the
// IAM accounts are, and 25 connections, as the smallest Cloud SQL instance has. A
// life is lived in it, and infra/deploy.sh brings it to the next version under load.
//
// What is not as in production, all of it addresses (see overrides):
//
//	DATABASE_URL             for INSTANCE_CONNECTION_NAME, DB_IAM_USER and DB_NAME: the
//	                         same login with a password of this run, without the connector
//	SECRET_MANAGER_ENDPOINT, PUBSUB_EMULATOR_HOST, OIDC_ISSUER
//	                         stand-ins of Google on this machine; the clients are the real ones
//	CHECKPOINT_DIR           for CHECKPOINT_BUCKET: a folder
//	EMBED_URL, REDIS_URL, MODEL_DIR, SSL_CERT_FILE, HOST, PORT
//	                         where the same things are here; no TLS on loopback
//
// Cloud Run's own limits of processor and memory are not imitated.
package rehearsal

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/dlai-sd/plant/scripts/localstack/stacktest"
)

// standIn tells this program to be gcloud or curl instead of its tests: it asks
// the test that runs the deployment, at the address CONTROL.
const standIn = "REHEARSAL_STAND_IN"

func TestMain(m *testing.M) {
	if name := os.Getenv(standIn); name != "" {
		os.Exit(ask(name, os.Args[1:]))
	}
	stacktest.Main(m)
}

func ask(name string, args []string) int {
	answer, err := http.PostForm(os.Getenv("CONTROL"), url.Values{"as": {name}, "args": {strings.Join(args, " ")}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		fmt.Fprintln(os.Stderr, answer.Status, string(body))
		return 22
	}
	fmt.Print(string(body))
	return 0
}
