#!/usr/bin/env python3
from pw_msgs.action import Rollout
from pw_msgs.msg import PhysicalAction

goal = Rollout.Goal(actions=[PhysicalAction(type=PhysicalAction.PUSH)], duration=0.5)
print(goal.actions[0].type, goal.duration)
