package main

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/sethvargo/go-envconfig"
	"github.com/stretchr/testify/require"
)

func TestEveryVariableIsDescribed(t *testing.T) {
	t.Parallel()
	all, err := Variables()
	require.NoError(t, err)
	var names []string
	for _, v := range all {
		require.NotEmpty(t, v.Unit, v.Name)
		require.NotEmpty(t, v.Meaning, v.Name)
		require.NotEmpty(t, v.Functions, "%s: nothing reads it", v.Name)
		require.NotContains(t, names, v.Name)
		names = append(names, v.Name)
	}
	for name := range descriptions() {
		require.Contains(t, names, name, "described, but Config does not read it")
	}
	var printed bytes.Buffer
	require.NoError(t, printVariables(&printed))
	var read []Variable
	require.NoError(t, json.Unmarshal(printed.Bytes(), &read))
	require.Equal(t, all, read)
}

// A function is content with the variables that the table says it reads, and
// with nothing else.
func TestFunctionsStartWithWhatTheTableSaysTheyRead(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	all, err := Variables()
	require.NoError(t, err)
	for _, function := range Functions() {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			unread := map[string]string{}
			for _, v := range all {
				if !slices.Contains(v.Functions, function) {
					unread[v.Name] = ""
				}
			}
			require.Equal(t, 200, k.serve(t, function, unread).get(t, "", "/ready").status)
		})
	}
}

func TestUnknownVariablesAreRefused(t *testing.T) {
	t.Parallel()
	require.NoError(t, refuseUnknown([]string{"PLANT_ORIGIN=a/1", "PATH=/bin", "PLANTATION=x", "K_SERVICE=create-skill"}))
	for _, line := range []string{"PLANT_ORIGN=a/1", "PLANT_=", "PLANT_TOKEN=secret", "PLANT_origin=a/1"} {
		err := refuseUnknown([]string{"PLANT_ORIGIN=a/1", line})
		name, value, _ := strings.Cut(line, "=")
		require.ErrorContains(t, err, name+" is no variable")
		if value != "" {
			require.NotContains(t, err.Error(), value)
		}
	}
}

// Each sentence names the variable, and never the value.
func TestMalformedValuesAreSaidInOneSentence(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"FUNCTION_TARGET": createSkill, "PLANT_ORIGIN": "a.example/1", "GOOGLE_CLOUD_PROJECT": "p", "DATABASE_URL": "postgres://x",
	}
	_, err := readConfig(t.Context(), envconfig.MapLookuper(good))
	require.NoError(t, err)
	for name, value := range map[string]string{
		"PORT": "hunter2", "DB_POOL": "hunter2", "PLANT_ORIGIN": "hun ter2", "OIDC_ISSUER": "hunter2", "INSTANCE_CONNECTION_NAME": "hunter2",
	} {
		bad := maps.Clone(good)
		bad[name] = value
		_, err := readConfig(t.Context(), envconfig.MapLookuper(bad))
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "\n")
	}
	for _, name := range []string{"FUNCTION_TARGET", "PLANT_ORIGIN", "GOOGLE_CLOUD_PROJECT"} {
		bad := maps.Clone(good)
		delete(bad, name)
		_, err := readConfig(t.Context(), envconfig.MapLookuper(bad))
		require.EqualError(t, err, "configuration: "+name+" is not set")
	}
}
