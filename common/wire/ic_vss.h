/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Volume snapshots: the host has the guest bring its file systems to rest for a backup.
 *
 * The guest sends a request back, the outcome in the header's status.
 * Source: Linux include/uapi/linux/hyperv.h (struct hv_vss_msg), drivers/hv/hv_snapshot.c,
 * tools/hv/hv_vss_daemon.c.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdint.h>

#define IC_VSS_TYPE GUID(0x35fa2e29, 0xea23, 0x4236, 0x96, 0xae, 0x3a, 0x6e, 0xba, 0xcb, 0xa4, 0x40)
#define IC_VSS_INSTANCE \
	GUID(0x2450ee40, 0x33bf, 0x4fbd, 0x89, 0x2e, 0x9f, 0xb0, 0x6e, 0x92, 0x14, 0xcf)

enum ic_vss_operation {
	IC_VSS_CREATE = 0,
	IC_VSS_DELETE = 1,
	IC_VSS_HOT_BACKUP = 2, /* can the guest be backed up as it runs? */
	IC_VSS_DM_INFO = 3,
	IC_VSS_BACKUP_COMPLETE = 4,
	IC_VSS_FREEZE = 5, /* from version 5.0 on */
	IC_VSS_THAW = 6,   /* likewise */
	IC_VSS_AUTO_RECOVER = 7,
};

/* Answer's flags to IC_VSS_HOT_BACKUP: the snapshot needs no work before it is used. */
#define IC_VSS_NO_AUTO_RECOVERY 5u

/* Body of IC_MESSAGE_VSS. */
struct ic_vss_body {
	uint8_t operation; /* enum ic_vss_operation */
	uint8_t reserved[7];
	uint32_t flags; /* of some answers */
} PACKED;
_Static_assert(sizeof(struct ic_vss_body) == 12, "wire format");
