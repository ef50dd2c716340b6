// SPDX-License-Identifier: Apache-2.0
// A few threads that do the same job together and wait for each other at barriers.
#include "program/thread_pool.h"

namespace q8 {
namespace {

// A step takes microseconds, a sleeping thread as long to wake up: look for a while, then sleep.
constexpr int looks_before_sleep = 2000;

void pause() {
#if Q8EMU_X86_64
  __builtin_ia32_pause();
#endif
}

void wait_for_change(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < looks_before_sleep; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int64_t threads) : threads_(threads) {
  for (int64_t thread = 1; thread < threads; ++thread) {
    workers_.emplace_back([this, thread] { work(thread); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  jobs_.fetch_add(1);
  jobs_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::work(int64_t thread) {
  for (uint32_t done = 0;; ++done) {
    wait_for_change(jobs_, done);
    if (stop_.load()) return;
    (*job_)(thread);
    barrier();
  }
}

void ThreadPool::run(const std::function<void(int64_t)>& job) {
  if (threads_ == 1) {
    job(0);
    return;
  }
  job_ = &job;
  jobs_.fetch_add(1);
  jobs_.notify_all();
  job(0);
  barrier();
}

void ThreadPool::barrier() {
  if (threads_ == 1) return;
  const uint32_t passed = barriers_.load();
  if (arrived_.fetch_add(1) + 1 == threads_) {
    arrived_.store(0);
    barriers_.fetch_add(1);
    barriers_.notify_all();
  } else {
    wait_for_change(barriers_, passed);
  }
}

}  // namespace q8
