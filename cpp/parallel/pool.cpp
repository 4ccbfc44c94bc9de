#include "parallel/pool.hpp"

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include "parallel/pause.hpp"
#include "parallel/region.hpp"

namespace heedful {
namespace {

using Clock = Pool::Clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// How long a thread without work looks for some before it sleeps: the next call often comes soon,
// and waking takes 10 to 50 µs.
constexpr milliseconds kLook{2};
// For how long of that it keeps the processor to itself: a program that calls again and again does
// so within less. Afterwards it offers it to others between two looks.
constexpr microseconds kStay{50};
// How long a thread helps before it offers its processor to others. Linux takes it away after 1.4
// ms to 4 ms when somebody wants it, and would do so in the middle of a task.
constexpr microseconds kTurn{1500};
// Two looks that are that far apart: somebody else had the processor meanwhile.
constexpr microseconds kDisplaced{50};
// How long a caller without tasks looks at its helpers before it sleeps.
constexpr microseconds kWatch{20};

std::atomic<Pool*> pool_of_process{nullptr};

}  // namespace

Pool& Pool::of_process() {
  Pool* pool = pool_of_process.load(std::memory_order_acquire);
  if (pool != nullptr) return *pool;
  auto* const fresh = new Pool;  // never deleted: its threads are there until the process ends
  if (pool_of_process.compare_exchange_strong(pool, fresh)) return *fresh;
  delete fresh;
  return *pool;
}

void Pool::forget() noexcept { pool_of_process = nullptr; }

// The mutex is held for some ten instructions: whoever finds it taken does better to look again.
std::unique_lock<std::mutex> Pool::locked() {
  std::unique_lock lock(mutex_, std::try_to_lock);
  for (int round = 0; !lock && round < 100; ++round) {
    spin_once();
    lock.try_lock();
  }
  if (!lock) lock.lock();
  return lock;
}

void Pool::invite(Invitation& invitation) {
  invitation.affinity_ = Affinity::of_this_thread();
  invitation.processor_ = current_processor();
  auto lock = locked();
  invitation.next_ = first_;
  first_ = &invitation;
  vacancies_.store(vacancies_ + invitation.vacancies_, std::memory_order_relaxed);
  const int woken = std::clamp(vacancies_ - looking_, 0, sleeping_);
  const bool all = woken == sleeping_;
  const int missing = std::max(0, invitation.vacancies_ - threads_);
  const int first_number = threads_;
  threads_ += missing;
  looking_ += missing;
  lock.unlock();

  if (woken > 0 && all) {
    vacancy_.notify_all();
  } else {
    for (int i = 0; i < woken; ++i) vacancy_.notify_one();
  }
  for (int i = 0; i < missing; ++i) {
    try {
      std::thread(&Pool::serve, this, first_number + i).detach();
    } catch (const std::exception&) {  // the system's limit, or no memory
      lock.lock();
      threads_ -= missing - i;
      looking_ -= missing - i;
      return;
    }
  }
}

void Pool::withdraw(Invitation& invitation) {
  const auto lock = locked();
  Invitation** link = &first_;
  while (*link != &invitation) link = &(*link)->next_;
  *link = invitation.next_;
  vacancies_.store(vacancies_ - invitation.vacancies_, std::memory_order_relaxed);
}

bool Pool::have_left(Invitation& invitation, milliseconds patience) {
  const auto empty = [&] { return invitation.inside_.load(std::memory_order_acquire) == 0; };
  if (empty()) return true;
  for (const auto end = Clock::now() + kWatch; Clock::now() < end;) {
    for (int i = 0; i < 16; ++i) spin_once();
    if (empty()) return true;
  }
  auto lock = locked();
  invitation.waiting_ = true;
  const bool left = invitation.left_.wait_for(lock, patience, empty);
  invitation.waiting_ = false;
  return left;
}

void Pool::serve(int number) noexcept {
  Affinity affinity = Affinity::of_helper(number);
  auto turn = Clock::now();
  bool moved = false;
  auto lock = locked();
  for (;;) {
    Invitation* const invitation = find();
    if (invitation != nullptr) {
      if (!moved && invitation->inside_ < affinity.others() &&
          current_processor() == invitation->processor_) {
        const int taken = invitation->processor_;  // there it would only be in the caller's way
        lock.unlock();
        affinity.leave(taken);
        lock = locked();
        moved = true;
        continue;  // the invitation may be gone
      }
      moved = false;
      const int area = join(*invitation);
      lock.unlock();
      affinity.follow(invitation->affinity_);
      invitation->region_.help(area);
      lock = locked();
      leave(*invitation);
      continue;
    }
    moved = false;
    lock.unlock();
    const bool seen = look(turn);
    lock = locked();
    if (seen || vacancies_ > 0) continue;
    --looking_;
    ++sleeping_;
    vacancy_.wait(lock);  // woken too late for one call, it looks for the next
    --sleeping_;
    ++looking_;
    turn = Clock::now();
  }
}

// Looks for an invitation for a while; whether it saw one. `turn` is when the thread was last given
// its processor, as far as can be told. It offers the processor to others when its turn is over,
// and between two looks when it has waited for some time: when somebody takes it then, processors
// are short, and the thread had better sleep.
bool Pool::look(Clock::time_point& turn) const {
  const auto start = Clock::now();
  auto last = start;
  if (start > turn + kTurn) {
    std::this_thread::yield();
    turn = last = Clock::now();
  }
  for (const auto begin = last; last < begin + kLook;) {
    for (int i = 0; i < 16; ++i) {
      spin_once();
      if (vacancies_.load(std::memory_order_relaxed) > 0) return true;
    }
    const bool offers = last > begin + kStay;
    if (offers) std::this_thread::yield();
    const auto now = Clock::now();
    if (now > last + kDisplaced) {
      if (offers) return false;
      turn = now;
    }
    last = now;
  }
  return false;
}

// The invitation with the fewest helpers that still has tasks.
Invitation* Pool::find() {
  Invitation* best = nullptr;
  for (Invitation* one = first_; one != nullptr; one = one->next_) {
    if (one->vacancies_ > 0 && !one->region_.has_tasks()) {
      vacancies_.store(vacancies_ - std::exchange(one->vacancies_, 0), std::memory_order_relaxed);
    }
    if (one->vacancies_ > 0 && (best == nullptr || one->inside_ < best->inside_)) best = one;
  }
  return best;
}

// The number of the work area.
int Pool::join(Invitation& invitation) {
  --invitation.vacancies_;
  vacancies_.store(vacancies_ - 1, std::memory_order_relaxed);
  --looking_;
  invitation.inside_.store(invitation.inside_ + 1, std::memory_order_relaxed);
  return ++invitation.came_;
}

void Pool::leave(Invitation& invitation) {
  ++looking_;
  const int others = invitation.inside_ - 1;
  // notified under the lock, and before the caller can see 0: the invitation exists until then
  if (others == 0 && invitation.waiting_) invitation.left_.notify_one();
  invitation.inside_.store(others, std::memory_order_release);
}

}  // namespace heedful
