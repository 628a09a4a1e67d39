/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmd_enable.c - cowbd enable: what systemd needs to know of a pool, and of volumes to attach at boot
 *
 *	/etc/cowbd/NAME.conf                                     POOL=, ARGS=   of cowbd@NAME.service
 *	/etc/cowbd/NAME-VOL.attach                               POOL=, VOLUME=, ARGS=   of cowbd-attach@NAME-VOL
 *	/etc/systemd/system/cowbd@NAME.service.d/pool.conf       where the service may write
 *	/etc/systemd/system/cowbd-attach@NAME-VOL.service.d/pool.conf    that it comes after the pool's
 *
 * The first two are the administrator's: what is there stays.  The others are written anew each time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define UNIT_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define SYSTEM_DIR "/etc/systemd/system"

struct enable {
	const struct call *c;
	struct session s;
	char *path; /* of the pool, absolute */
	const char *name;
	json_t *files, *units; /* what was written, and what is to be enabled */
};

static int make_parents(char *path)
{
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return complain("%s: %s", path, strerror(errno));
		*p = '/';
	}
	return DONE;
}

/* Writes text to ROOT/PATH; an old file stays if keep. */
static int write_file(struct enable *e, bool keep, const char *path, const char *text)
{
	const char *root = e->c->opt[OPT_ROOT] ? e->c->opt[OPT_ROOT] : "";
	SCOPED_TEXT char *full = NULL;
	FILE *f;
	bool bad;

	if (asprintf(&full, "%s%s", root, path) < 0) {
		full = NULL;
		return complain("no memory for a path");
	}
	if (keep && access(full, F_OK) == 0) {
		note("%s is there already, and stays as it is", full);
		return DONE;
	}
	if (make_parents(full))
		return FAILED;
	f = fopen(full, "we");
	if (!f)
		return complain("%s: %s", full, strerror(errno));
	bad = fputs(text, f) < 0;
	bad |= fclose(f) != 0;
	if (bad)
		return complain("%s: %s", full, strerror(errno));
	json_array_append_new(e->files, json_string(full));
	return DONE;
}

/* Can the word be a part of a unit's name and of a file's? */
static int check_unit_word(const char *word, const char *what)
{
	if (word[0] && word[0] != '.' && strspn(word, UNIT_CHARS) == strlen(word))
		return DONE;
	return complain("%s %s can't be in the name of a systemd unit, of letters, digits, _ . and "
			"- alone%s",
			what, word,
			strcmp(what, "pool") == 0 ? ": choose another with --name" : "");
}

/* A path that is safe in a unit and in a file of settings as it is. */
static int check_path(const char *path)
{
	if (strpbrk(path, " \t\n\"'\\%$"))
		return complain("pool %s: systemd's files can't hold this path as it is: move the "
				"pool, or make a link without blanks and quotes to it",
				path);
	return DONE;
}

static int enable_pool(struct enable *e)
{
	SCOPED_TEXT char *conf = NULL, *unit = NULL, *conf_path = NULL, *unit_path = NULL;
	bool device;
	struct stat st;
	int status;

	if (stat(e->path, &st) < 0)
		return complain("%s: %s", e->path, strerror(errno));
	device = S_ISBLK(st.st_mode);
	if (asprintf(&conf_path, "/etc/cowbd/%s.conf", e->name) < 0 ||
	    asprintf(&conf,
		     "# of cowbd@%s.service: the pool, and more arguments of `cowbd serve`\n"
		     "POOL=%s\nARGS=\n",
		     e->name, e->path) < 0 ||
	    asprintf(&unit_path, SYSTEM_DIR "/cowbd@%s.service.d/pool.conf", e->name) < 0 ||
	    asprintf(&unit,
		     "# written by `cowbd "
		     "enable`\n[Unit]\nRequiresMountsFor=%s\n\n[Service]\n%s=%s%s\n",
		     e->path, device ? "DeviceAllow" : "ReadWritePaths", e->path,
		     device ? " rw" : "") < 0)
		return complain("no memory for a file's text");
	status = write_file(e, true, conf_path, conf);
	if (!status)
		status = write_file(e, false, unit_path, unit);
	if (!status)
		json_array_append_new(e->units, json_sprintf("cowbd@%s.service", e->name));
	return status;
}

static int enable_volume(struct enable *e, const char *volume)
{
	SCOPED_TEXT char *conf = NULL, *unit = NULL, *conf_path = NULL, *unit_path = NULL;
	int status = check_name(volume);

	if (!status)
		status = check_unit_word(volume, "volume");
	if (status)
		return status;
	if (asprintf(&conf_path, "/etc/cowbd/%s-%s.attach", e->name, volume) < 0 ||
	    asprintf(&conf,
		     "# of cowbd-attach@%s-%s.service: the volume, and more arguments of "
		     "`cowbd attach`\nPOOL=%s\nVOLUME=%s\nARGS=\n",
		     e->name, volume, e->path, volume) < 0 ||
	    asprintf(&unit_path, SYSTEM_DIR "/cowbd-attach@%s-%s.service.d/pool.conf", e->name,
		     volume) < 0 ||
	    asprintf(
		    &unit,
		    "# written by `cowbd enable`; not Requires: the disk outlives a restart of the "
		    "daemon\n[Unit]\nWants=cowbd@%s.service\nAfter=cowbd@%s.service\n",
		    e->name, e->name) < 0)
		return complain("no memory for a file's text");
	status = write_file(e, true, conf_path, conf);
	if (!status)
		status = write_file(e, false, unit_path, unit);
	if (!status)
		json_array_append_new(e->units,
				      json_sprintf("cowbd-attach@%s-%s.service", e->name, volume));
	return status;
}

static int tell(const struct enable *e)
{
	SCOPED_JSON json_t *answer = NULL;
	json_t *text;
	size_t i;

	if (e->c->opt[OPT_JSON]) {
		answer = json_pack("{s:s, s:s, s:O, s:O}", "name", e->name, "pool", e->path,
				   "files", e->files, "units", e->units);
		return print_json(answer);
	}
	json_array_foreach(e->files, i, text) printf("wrote %s\n", json_string_value(text));
	printf("now: systemctl daemon-reload; systemctl enable --now");
	json_array_foreach(e->units, i, text) printf(" %s", json_string_value(text));
	printf("\n");
	return DONE;
}

static int enable_all(struct enable *e)
{
	const struct call *c = e->c;
	int status = check_unit_word(e->name, "pool");

	if (!status)
		status = check_path(e->path);
	if (!status)
		status = enable_pool(e);
	for (int i = 1; !status && i < c->n; i++)
		status = enable_volume(e, c->words[i]);
	return status ? status : tell(e);
}

int cmd_enable(const struct call *c)
{
	struct enable e = {.c = c};
	int status = session_find_path(c->words[0], &e.s);

	e.files = json_array();
	e.units = json_array();
	if (!status && (!e.files || !e.units))
		status = complain("no memory for a list");
	if (!status)
		e.path = realpath(e.s.path ? e.s.path : c->words[0], NULL);
	if (!status && !e.path)
		status = complain("%s: %s", c->words[0], strerror(errno));
	e.name = c->opt[OPT_NAME] ? c->opt[OPT_NAME] : e.s.name;
	if (!status)
		status = enable_all(&e);
	json_decref(e.files);
	json_decref(e.units);
	free(e.path);
	return session_close(&e.s, status);
}
