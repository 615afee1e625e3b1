package main

import (
	"context"
	"net/http"

	"generated/client"
)

func (w *world) industries() life {
	return life{
		kind: "Industry",
		create: func(ctx context.Context) (string, string, error) {
			r, err := w.api.CreateIndustryWithResponse(ctx, &client.CreateIndustryParams{IdempotencyKey: key()}, client.IndustryInput{Name: w.name("Industry")})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusCreated); err != nil {
				return "", "", err
			}
			w.industry = r.JSON201.Id
			return r.JSON201.Id, r.HTTPResponse.Header.Get("ETag"), nil
		},
		rename: func(ctx context.Context, id, etag, name string) (string, string, error) {
			r, err := w.api.EvolveIndustryWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, id,
				&client.EvolveIndustryParams{IdempotencyKey: key(), IfMatch: etag}, map[string]any{"name": name})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return "", "", err
			}
			changed, err := r.JSON200.AsIndustry()
			return changed.Name, r.HTTPResponse.Header.Get("ETag"), err
		},
		list: func(ctx context.Context, prefix string) (ids []string, err error) {
			r, err := w.api.ListIndustriesWithResponse(ctx, &client.ListIndustriesParams{NamePrefix: optional(prefix)})
			if err != nil {
				return nil, err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return nil, err
			}
			for _, item := range r.JSON200.Items {
				ids = append(ids, item.Id)
			}
			return ids, nil
		},
		archive: func(ctx context.Context, id string) error {
			seen, err := w.api.GetIndustryWithResponse(ctx, id, &client.GetIndustryParams{})
			if err != nil {
				return err
			}
			if err := done(seen.HTTPResponse, seen.Body, http.StatusOK); err != nil {
				return err
			}
			r, err := w.api.ArchiveIndustryWithResponse(ctx, id, &client.ArchiveIndustryParams{
				IdempotencyKey: key(), IfMatch: seen.HTTPResponse.Header.Get("ETag"), Reason: optional("this run is over"),
			})
			if err != nil {
				return err
			}
			return done(r.HTTPResponse, r.Body, http.StatusOK)
		},
	}
}

func (w *world) skills() life {
	return life{
		kind: "Skill",
		create: func(ctx context.Context) (string, string, error) {
			r, err := w.api.CreateSkillWithResponse(ctx, &client.CreateSkillParams{IdempotencyKey: key()}, client.SkillInput{
				Name: w.name("Skill"), Description: "Joins metal.", Category: client.CategoryTechnical,
			})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusCreated); err != nil {
				return "", "", err
			}
			w.skill = r.JSON201.Id
			return r.JSON201.Id, r.HTTPResponse.Header.Get("ETag"), nil
		},
		rename: func(ctx context.Context, id, etag, name string) (string, string, error) {
			r, err := w.api.EvolveSkillWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, id,
				&client.EvolveSkillParams{IdempotencyKey: key(), IfMatch: etag}, map[string]any{"name": name})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return "", "", err
			}
			changed, err := r.JSON200.AsSkill()
			return changed.Name, r.HTTPResponse.Header.Get("ETag"), err
		},
		list: func(ctx context.Context, prefix string) (ids []string, err error) {
			r, err := w.api.ListSkillsWithResponse(ctx, &client.ListSkillsParams{NamePrefix: optional(prefix)})
			if err != nil {
				return nil, err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return nil, err
			}
			for _, item := range r.JSON200.Items {
				ids = append(ids, item.Id)
			}
			return ids, nil
		},
		archive: func(ctx context.Context, id string) error {
			seen, err := w.api.GetSkillWithResponse(ctx, id, &client.GetSkillParams{})
			if err != nil {
				return err
			}
			if err := done(seen.HTTPResponse, seen.Body, http.StatusOK); err != nil {
				return err
			}
			r, err := w.api.ArchiveSkillWithResponse(ctx, id, &client.ArchiveSkillParams{
				IdempotencyKey: key(), IfMatch: seen.HTTPResponse.Header.Get("ETag"), Reason: optional("this run is over"),
			})
			if err != nil {
				return err
			}
			return done(r.HTTPResponse, r.Body, http.StatusOK)
		},
	}
}

func (w *world) jobRoles() life {
	return life{
		kind: "JobRole",
		create: func(ctx context.Context) (string, string, error) {
			r, err := w.api.CreateJobRoleWithResponse(ctx, &client.CreateJobRoleParams{IdempotencyKey: key()}, client.JobRoleInput{
				Name: w.name("Job role"), RequiredSkills: []client.UUID{w.skill}, SeniorityLevel: client.Mid,
			})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusCreated); err != nil {
				return "", "", err
			}
			w.jobRole = r.JSON201.Id
			return r.JSON201.Id, r.HTTPResponse.Header.Get("ETag"), nil
		},
		rename: func(ctx context.Context, id, etag, name string) (string, string, error) {
			r, err := w.api.EvolveJobRoleWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, id,
				&client.EvolveJobRoleParams{IdempotencyKey: key(), IfMatch: etag}, map[string]any{"name": name})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return "", "", err
			}
			changed, err := r.JSON200.AsJobRole()
			return changed.Name, r.HTTPResponse.Header.Get("ETag"), err
		},
		list: func(ctx context.Context, prefix string) (ids []string, err error) {
			r, err := w.api.ListJobRolesWithResponse(ctx, &client.ListJobRolesParams{NamePrefix: optional(prefix)})
			if err != nil {
				return nil, err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return nil, err
			}
			for _, item := range r.JSON200.Items {
				ids = append(ids, item.Id)
			}
			return ids, nil
		},
		archive: func(ctx context.Context, id string) error {
			seen, err := w.api.GetJobRoleWithResponse(ctx, id, &client.GetJobRoleParams{})
			if err != nil {
				return err
			}
			if err := done(seen.HTTPResponse, seen.Body, http.StatusOK); err != nil {
				return err
			}
			r, err := w.api.ArchiveJobRoleWithResponse(ctx, id, &client.ArchiveJobRoleParams{
				IdempotencyKey: key(), IfMatch: seen.HTTPResponse.Header.Get("ETag"), Reason: optional("this run is over"),
			})
			if err != nil {
				return err
			}
			return done(r.HTTPResponse, r.Body, http.StatusOK)
		},
	}
}

func (w *world) agents() life {
	return life{
		kind: "Agent",
		create: func(ctx context.Context) (string, string, error) {
			r, err := w.api.CreateAgentWithResponse(ctx, &client.CreateAgentParams{IdempotencyKey: key()}, client.AgentInput{
				Name: w.name("Agent"), SkillId: w.skill, JobRoleId: w.jobRole, IndustryId: w.industry,
			})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusCreated); err != nil {
				return "", "", err
			}
			w.agent = r.JSON201.Id
			return r.JSON201.Id, r.HTTPResponse.Header.Get("ETag"), nil
		},
		rename: func(ctx context.Context, id, etag, name string) (string, string, error) {
			r, err := w.api.EvolveAgentWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, id,
				&client.EvolveAgentParams{IdempotencyKey: key(), IfMatch: etag}, map[string]any{"name": name})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return "", "", err
			}
			changed, err := r.JSON200.AsAgent()
			return changed.Name, r.HTTPResponse.Header.Get("ETag"), err
		},
		list: func(ctx context.Context, prefix string) (ids []string, err error) {
			r, err := w.api.ListAgentsWithResponse(ctx, &client.ListAgentsParams{NamePrefix: optional(prefix)})
			if err != nil {
				return nil, err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return nil, err
			}
			for _, item := range r.JSON200.Items {
				ids = append(ids, item.Id)
			}
			return ids, nil
		},
		archive: func(ctx context.Context, id string) error {
			seen, err := w.api.GetAgentWithResponse(ctx, id, &client.GetAgentParams{})
			if err != nil {
				return err
			}
			if err := done(seen.HTTPResponse, seen.Body, http.StatusOK); err != nil {
				return err
			}
			r, err := w.api.ArchiveAgentWithResponse(ctx, id, &client.ArchiveAgentParams{
				IdempotencyKey: key(), IfMatch: seen.HTTPResponse.Header.Get("ETag"), Reason: optional("this run is over"),
			})
			if err != nil {
				return err
			}
			return done(r.HTTPResponse, r.Body, http.StatusOK)
		},
	}
}

func (w *world) teams() life {
	return life{
		kind: "Team",
		create: func(ctx context.Context) (string, string, error) {
			r, err := w.api.CreateTeamWithResponse(ctx, &client.CreateTeamParams{IdempotencyKey: key()}, client.TeamInput{
				Name: w.name("Team"), JobRoleId: w.jobRole, Agents: []client.UUID{w.agent},
			})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusCreated); err != nil {
				return "", "", err
			}
			return r.JSON201.Id, r.HTTPResponse.Header.Get("ETag"), nil
		},
		rename: func(ctx context.Context, id, etag, name string) (string, string, error) {
			r, err := w.api.EvolveTeamWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, id,
				&client.EvolveTeamParams{IdempotencyKey: key(), IfMatch: etag}, map[string]any{"name": name})
			if err != nil {
				return "", "", err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return "", "", err
			}
			changed, err := r.JSON200.AsTeam()
			return changed.Name, r.HTTPResponse.Header.Get("ETag"), err
		},
		list: func(ctx context.Context, prefix string) (ids []string, err error) {
			r, err := w.api.ListTeamsWithResponse(ctx, &client.ListTeamsParams{NamePrefix: optional(prefix)})
			if err != nil {
				return nil, err
			}
			if err := done(r.HTTPResponse, r.Body, http.StatusOK); err != nil {
				return nil, err
			}
			for _, item := range r.JSON200.Items {
				ids = append(ids, item.Id)
			}
			return ids, nil
		},
		archive: func(ctx context.Context, id string) error {
			seen, err := w.api.GetTeamWithResponse(ctx, id, &client.GetTeamParams{})
			if err != nil {
				return err
			}
			if err := done(seen.HTTPResponse, seen.Body, http.StatusOK); err != nil {
				return err
			}
			r, err := w.api.ArchiveTeamWithResponse(ctx, id, &client.ArchiveTeamParams{
				IdempotencyKey: key(), IfMatch: seen.HTTPResponse.Header.Get("ETag"), Reason: optional("this run is over"),
			})
			if err != nil {
				return err
			}
			return done(r.HTTPResponse, r.Body, http.StatusOK)
		},
	}
}
