/* SPDX-License-Identifier: MIT */
/*
 * tierpool: pools of byte buffers by size class, kept per CPU and bounded in memory.
 *
 * The whole public interface. Each header below may also be included by itself.
 */
#ifndef TIERPOOL_H
#define TIERPOOL_H

#include <tierpool/buffer.h>
#include <tierpool/cache.h>
#include <tierpool/pool.h>
#include <tierpool/stats.h>
#include <tierpool/version.h>

#endif
