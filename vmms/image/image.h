/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of VMs: opened by a process that has the rights of their owner (file-open helper), handed
 * to workers by another (file_holder), looked through as chains of images, and served where they
 * are not raw.
 */
#pragma once

#include "vmms/image/file_holder.h"
#include "vmms/image/image_chain.h"
#include "vmms/image/image_fork.h"
#include "vmms/image/image_merge.h"
#include "vmms/image/image_server.h"
#include "vmms/image/open_helper.h"
#include "vmms/image/resources.h"
#include "vmms/image/saved_file.h"
