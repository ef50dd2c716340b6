// SPDX-License-Identifier: Apache-2.0
// A few threads that do the same job together and wait for each other at barriers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace q8 {

class ThreadPool {
 public:
  // The caller of run() is one of the threads.
  explicit ThreadPool(int64_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int64_t threads() const { return threads_; }

  // Calls job(0), ..., job(threads - 1), each on a thread of its own, and returns when all have returned.
  void run(const std::function<void(int64_t)>& job);

  // Called by every job: none goes on before all have arrived.
  void barrier();

 private:
  void work(int64_t thread);

  int64_t threads_;
  std::atomic<uint32_t> arrived_{0};
  std::atomic<uint32_t> barriers_{0};  // that all have passed
  std::atomic<uint32_t> jobs_{0};      // that have been given out
  std::atomic<bool> stop_{false};
  const std::function<void(int64_t)>* job_ = nullptr;
  std::vector<std::thread> workers_;
};

}  // namespace q8
