/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree of a VM's checkpoints, as it is written down.
 *
 * A checkpoint is the definition of that time. The disks that it names are written no more; the VM
 * goes on with children of them, and so does it when the checkpoint is applied, with new children.
 * One that is deleted is forgotten; while the VM or other checkpoints stand on it, it stays in the
 * tree, hidden, and its disks with it. Once only one stands on it, that one's disks can be brought
 * into its own (checkpoints_merge.c), and it goes.
 *
 * Files that were made for the tree are told from those that somebody has brought, which are never
 * removed.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "common/definition/definition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKPOINTS_MAX       50   /* of a VM, as Hyper-V has it */
#define CHECKPOINTS_ALL_MAX   100  /* with those that are hidden */
#define CHECKPOINTS_DEPTH_MAX 12   /* one on the other; a chain of images has IMAGE_CHAIN_MAX */
#define CHECKPOINT_NAME_MAX   100  /* bytes */
#define CHECKPOINT_NOTES_MAX  4096 /* bytes */

/* Of when what its disks hold is. Stored by its name. */
enum checkpoint_type {
	CHECKPOINT_OFF,        /* of a VM that was off */
	CHECKPOINT_PRODUCTION, /* the guest had frozen its file systems */
	CHECKPOINT_CRASH,      /* of a moment, as after a loss of power */
	CHECKPOINT_STANDARD,   /* of that of its memory and devices, which are in a file */
};
extern const char *const checkpoint_type_names[]; /* closed by NULL */

struct checkpoint {
	unsigned id;     /* from 1; none is used twice */
	unsigned parent; /* the one before; 0: none */
	char *name, *notes;
	uint64_t created_at; /* microseconds since 1970 */
	bool hidden;
	unsigned type; /* enum checkpoint_type */
	struct definition *definition;
};

struct checkpoint_paths {
	char **items;
	size_t count;
};

void checkpoint_paths_deinit(struct checkpoint_paths *paths);
bool checkpoint_paths_have(const struct checkpoint_paths *paths, const char *path);

/* Return: 0, also if it is there; -ENOMEM. */
int checkpoint_paths_add(struct checkpoint_paths *paths, const char *path) MUST_CHECK;
void checkpoint_paths_remove(struct checkpoint_paths *paths, const char *path);

/* An array of texts. NULL without memory. */
struct json_object *checkpoint_paths_to_json(const struct checkpoint_paths *paths);

/* An image that was made, and what it stands on. */
struct checkpoint_link {
	char *image, *parent;
};

struct checkpoints {
	unsigned next;    /* the id of the next one */
	unsigned current; /* on which the VM's disks stand; 0: on none */
	struct checkpoint *items;
	size_t count;
	struct checkpoint_paths files;    /* that were made for it */
	struct checkpoint_paths unneeded; /* of these, those that are to be removed */
	struct checkpoint_paths states;   /* files with memory and devices, that may be there */
	struct checkpoint_link *links;
	size_t link_count;
};

int checkpoints_new(struct checkpoints **ret_checkpoints) MUST_CHECK;
int checkpoints_copy(const struct checkpoints *checkpoints,
		     struct checkpoints **ret_copy) MUST_CHECK;
void checkpoints_free(struct checkpoints *checkpoints);
DEFINE_CLEANUP(struct checkpoints *, checkpoints_free)

/*
 * Reads what checkpoints_to_json() has made: a tree, indeed. Return: 0; -EINVAL with *ret_error
 * filled; -ENOMEM.
 */
int checkpoints_from_json(struct json_object *object, struct checkpoints **ret_checkpoints,
			  struct json_error *ret_error) MUST_CHECK;
struct json_object *checkpoints_to_json(const struct checkpoints *checkpoints);

/* One that is not hidden; NULL: there is none. */
struct checkpoint *checkpoints_find(const struct checkpoints *checkpoints, unsigned id);

/* Those that are not hidden. */
unsigned checkpoints_count(const struct checkpoints *checkpoints);

/* How many stand on each other, down to that one; 0: of none. */
unsigned checkpoints_depth(const struct checkpoints *checkpoints, unsigned id);

/* The next that is not hidden above one; 0: none. */
unsigned checkpoints_visible_parent(const struct checkpoints *checkpoints, unsigned id);

/* Whether a checkpoint, hidden or not, has a disk of that path. */
bool checkpoints_name_disk(const struct checkpoints *checkpoints, const char *path);

/* "" is none: between 1 and CHECKPOINT_NAME_MAX bytes, printable, and not a number alone. */
bool checkpoint_name_is_valid(const char *name);

/*
 * One more on the current one, which it becomes. definition: copied. Return: 0; -ENOMEM: the object
 * is good for being freed alone.
 */
int checkpoints_add(struct checkpoints *checkpoints, const char *name, const char *notes,
		    uint64_t created_at, const struct definition *definition) MUST_CHECK;

/*
 * Forgets it, and, with `subtree`, all that stand on it. Files that were made for it, and that
 * nothing stands on any more, become unneeded. Return: 0; -ENOMEM, as above.
 */
int checkpoints_delete(struct checkpoints *checkpoints, unsigned id, bool subtree) MUST_CHECK;

/*
 * The VM stands on that one now, and its disks of before, as that definition has them, are unneeded
 * where nothing else names them. Return: 0; -ENOMEM, as above.
 */
int checkpoints_move_to(struct checkpoints *checkpoints, unsigned id,
			const struct definition *before) MUST_CHECK;

/* Return: 0; -ENOMEM. */
int checkpoints_link(struct checkpoints *checkpoints, const char *image,
		     const char *parent) MUST_CHECK;

/* The file is not there any more. */
void checkpoints_forget_file(struct checkpoints *checkpoints, const char *path);

/* ---- What can be merged (checkpoints_merge.c) ---- */

/* An image, to be brought into the one that it stands on, and those that stand on it. */
struct checkpoint_merge_disk {
	char *image, *parent;
	struct checkpoint_paths above;
	bool done; /* it has been: the VM has the parent already */
};

/* A checkpoint that is hidden, and that one alone stands on. */
struct checkpoint_merge {
	unsigned id; /* 0: there is none */
	struct checkpoint_merge_disk *disks;
	size_t disk_count;
};

void checkpoint_merge_deinit(struct checkpoint_merge *merge);

/* There is something to copy. */
bool checkpoint_merge_copies(const struct checkpoint_merge *merge);

/*
 * The first that can go, of those that are hidden. now, pending: the VM's definition, and that which
 * waits for its next start, or NULL. Return: 0, also if there is none; -ENOMEM.
 */
int checkpoints_find_merge(const struct checkpoints *checkpoints, const struct definition *now,
			   const struct definition *pending,
			   struct checkpoint_merge *ret_merge) MUST_CHECK;

/* Of a definition: an image's place is the parent's. Return: 0; -ENOMEM. */
int checkpoint_merge_rename(const struct checkpoint_merge *merge,
			    struct definition *definition) MUST_CHECK;

/*
 * All that it says has been copied, and the VM's definition says so: the checkpoint goes, and the images
 * are unneeded. Return: 0; -ENOMEM: the object is good for being freed alone.
 */
int checkpoints_merged(struct checkpoints *checkpoints, const struct checkpoint_merge *merge,
		       const struct definition *now) MUST_CHECK;
