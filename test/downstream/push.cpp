#include <iostream>
#include <pw_msgs/action/rollout.hpp>

int main() {
  pw_msgs::action::Rollout::Goal goal;
  goal.actions.resize(1);
  goal.actions[0].type = pw_msgs::msg::PhysicalAction::PUSH;
  goal.duration = 0.5;
  std::cout << goal.actions[0].type << " " << goal.duration << std::endl;
}
