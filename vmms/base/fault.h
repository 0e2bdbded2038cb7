/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Steps at which a test has the daemon killed.
 *
 * An operation that changes what is on disk, in the host or in a worker says after each step which
 * it was; tests/integration/test_fault.py kills the daemon after each, and looks at what the next
 * one makes of it. That is so in builds with the option VMMS_FAULT_POINTS, and in a process whose
 * environment has VMMS_FAULT_FILE: while there is a file of that name, whose first line is a
 * number, each step adds a line with its own name, and the one of that number (1: the next) is the
 * process's last. In other builds nothing is left of this.
 */
#pragma once

#define FAULT_STEPS(STEP)                                                                 \
	STEP(FOLDER_OPENED_STAGED) /* the file beside the old one is there, and empty */  \
	STEP(FOLDER_WROTE_STAGED)  /* it is written, and on the disk */                   \
	STEP(FOLDER_COMMITTED)     /* it has taken the old one's place */                 \
	STEP(FOLDER_DELETED)                                                              \
	STEP(FILES_ASKED_FOR)        /* a process opens them */                           \
	STEP(START_OPENED_RESOURCES) /* files, and back ends of adapters */               \
	STEP(START_OPENED_END)                                                            \
	STEP(WORKER_LISTENED)                                                             \
	STEP(WORKER_SPAWNED)                                                              \
	STEP(START_SENT)                                                                  \
	STEP(START_ANSWERED)                                                              \
	STEP(CHANGE_SENT)                                                                 \
	STEP(CHANGE_ANSWERED)                                                             \
	STEP(SAVE_OPENED_FILE)                                                            \
	STEP(SAVE_SENT)                                                                   \
	STEP(SAVED) /* it is written down */                                              \
	STEP(SAVED_FORGOTTEN)                                                             \
	STEP(CHECKPOINT_WRITTEN_DOWN) /* what the tree is going to be */                  \
	STEP(CHECKPOINT_FORKED)       /* the new images are there */                      \
	STEP(CHECKPOINT_FROZEN)       /* the worker is going to be asked for its disks */ \
	STEP(CHECKPOINT_CHANGED)      /* the definition names them */                     \
	STEP(CHECKPOINT_SETTLED)      /* the tree is what it was going to be */           \
	STEP(CHECKPOINT_FORGOTTEN)    /* one that was deleted */                          \
	STEP(CHECKPOINT_CLEANED)      /* files that nothing needs are gone */             \
	STEP(CHECKPOINT_MERGING)      /* a process copies what images have */             \
	STEP(CHECKPOINT_MERGED)       /* it has ended */                                  \
	STEP(CHECKPOINT_MERGE_NAMED)  /* the definition names what they stood on */       \
	STEP(CHECKPOINT_MERGE_KEPT)   /* so does the tree */                              \
	STEP(RESTORE_ANSWERED)                                                            \
	STEP(RENEWAL_SPAWNED)                                                             \
	STEP(RENEWAL_HANDED_OVER)                                                         \
	STEP(RENEWAL_RESTORED)                                                            \
	STEP(RENEWED) /* it is written down */                                            \
	STEP(STOP_SENT)                                                                   \
	STEP(END_NOTICED)                                                                 \
	STEP(END_UNLINKED_SOCKET)                                                         \
	STEP(END_UNLINKED_WORDS)                                                          \
	STEP(LOG_DELETED)                                                                 \
	STEP(TAP_OPENED)                                                                  \
	STEP(PASST_SPAWNED)                                                               \
	STEP(BRIDGE_MADE)                                                                 \
	STEP(BRIDGE_NAMED)                                                                \
	STEP(BRIDGE_UP)                                                                   \
	STEP(BRIDGE_TOOK_INTERFACE)                                                       \
	STEP(BRIDGE_TOOK_ADDRESSES)                                                       \
	STEP(BRIDGE_LEFT)                                                                 \
	STEP(BRIDGE_REMOVED)

#define FAULT_STEP(name) FAULT_##name,
enum fault_step { FAULT_STEPS(FAULT_STEP) };
#undef FAULT_STEP

#ifdef VMMS_FAULT_POINTS
void fault_point(enum fault_step step);
#else
static inline void fault_point(enum fault_step step)
{
}
#endif
