/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * catalog.h - names, volumes, snapshots, clones, lineage
 *
 * A radix tree of metadata pages, object id / RECORDS_PER_PAGE -> leaf of records; ids are never reused.
 * All objects are in memory, by id and by name.  A catalog page has one reference and is never
 * shared; a leaf whose last record goes is let fall.
 *
 * Invariants
 *   [CATALOG-1] Between metadata sections the pages say what the objects in memory say.
 *   [CATALOG-2] Names of volumes are unique; names of snapshots are unique per volume.
 *   [CATALOG-3] A snapshot's volume exists.
 *
 * Concurrency: e->lock, shared to look, exclusive to change. Prepare first, as in map.h.
 */
#ifndef COWBD_CATALOG_H
#define COWBD_CATALOG_H

#include "engine.h"
#include "map.h"

struct volume;

struct object {
	uint64_t id, parent, size, created;
	enum object_kind kind;
	enum object_label label;
	uint32_t flags, sector_size;
	struct map_root map;
	struct object *volume;    /* of a snapshot */
	struct object *snapshots; /* of a volume: newest first */
	struct object *older;     /* next in that list */
	unsigned nsnapshots;
	char name[NAME_BYTES_MAX + 1];
	bool unsettled;   /* a snapshot that writes begun before it may still change: not by name */
	bool gone;        /* deleted; memory stays until the last client closes */
	unsigned clients; /* open handles */
	uint64_t idle_ns; /* ephemeral: since when it was seen without clients; 0: not yet */
	_Atomic bool never_held; /* its writes are refused when the pool is full; until closed */
	uint64_t chosen;         /* attempt of a command that it is in */
	struct volume *io;       /* of the volume layer; NULL until first opened */
	struct object *next_id, *next_name;
};

struct catalog {
	struct engine *engine;
	struct map_root tree; /* entry: root page; depth: levels of nodes */
	uint64_t next_id;
	struct object **by_id, **by_name;
	size_t mask, n, nvolumes, nephemeral;
	struct object *spare; /* memory for new objects, by next_id */
	size_t nspare;
	uint64_t virtual_bytes; /* sum of the volumes' sizes */
};

int catalog_new(struct engine *e, struct catalog **ret_catalog) MUST_CHECK;
void catalog_free(struct catalog *c);

/* Reads all records.  No lock held. */
int catalog_load(struct catalog *c) MUST_CHECK;

/* Memory for n new objects: with it catalog_insert can't fail. Lock exclusive. */
int catalog_prepare(struct catalog *c, size_t n) REQUIRES(metadata_lock) MUST_CHECK;

struct object *catalog_by_id(const struct catalog *c, uint64_t id);
/* volume NULL: a volume's name. */
struct object *catalog_by_name(const struct catalog *c, const struct object *volume,
			       const char *name);

/* "vol" or "vol@snap": 0, -ENOENT, -EINVAL (a name that can't be).  Unsettled snapshots aren't found. */
int catalog_find(const struct catalog *c, const char *full, struct object **ret_object) MUST_CHECK;

/* "vol" or "vol@snap" of an object. */
void catalog_full_name(const struct object *o, char buf[2 * (NAME_BYTES_MAX + 1)]);

/* Pages that making n objects with ids from next_id on may need. */
unsigned catalog_pages_for(const struct catalog *c, size_t n);

/* Brings in the record's place: 0, -EAGAIN. */
int catalog_touch(struct catalog *c, uint64_t id) REQUIRES(metadata_lock) MUST_CHECK;

/* A new object in memory, linked (volume set for snapshots, name set), not yet written; NULL without memory. */
struct object *catalog_insert(struct catalog *c, const struct object *like) REQUIRES(metadata_lock);

/* Writes the record.  Prepared (engine_prepare with catalog_pages_for, catalog_touch). */
void catalog_put(struct catalog *c, const struct object *o) REQUIRES(metadata_lock)
	REQUIRES(metadata_lock);

/* Removes the record with seq, unlinks the object, frees it unless clients have it open. */
void catalog_remove(struct catalog *c, struct object *o, uint64_t seq) REQUIRES(metadata_lock);

/* A client of a removed object has closed; or the object is removed: frees it when nobody has it. */
void catalog_release(struct object *o);

void catalog_rename(struct catalog *c, struct object *o, const char *name) REQUIRES(metadata_lock);
void catalog_resize(struct catalog *c, struct object *o, uint64_t size);

/* Frees what the volume layer hung on an object (set once by it). */
extern void (*catalog_free_io)(struct volume *io);

#endif
