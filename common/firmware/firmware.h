/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a UEFI keeps: the file of its flash, the variables there, and what of them can be booted. */
#pragma once

#include "common/firmware/boot_entries.h"
#include "common/firmware/variable_store.h"
#include "common/firmware/variables_file.h"
